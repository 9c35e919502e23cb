//! What happens on the way, for those who watch.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use comfyport_comfyui::Event;
use serde::Serialize;

use super::failure::Names;
use crate::supplies::board;

/// Something that happened to a run.
#[derive(Debug, Clone)]
pub enum Update {
    /// It is in the engine's queue.
    Queued {
        /// How many prompts are before it, where the engine says so.
        position: Option<u64>,
    },
    /// The engine began with it.
    Started,
    /// It came further.
    Progress(Step),
    /// An errand of this server came further.
    Errand(Arc<board::Progress>),
    /// The engine does not say how far it is. It is looked after all the same.
    Unknown,
    /// A picture of the present state.
    Preview {
        /// The node at work.
        node: String,
        /// The picture's media type.
        content_type: String,
        /// The picture.
        data: Bytes,
    },
}

/// How far a run is.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Of the whole run, from 0 to 100. It never goes back.
    pub percent: f64,
    /// The node at work.
    pub node: String,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How far this node is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What `value` will be in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Seconds until the end, if it goes on like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<f64>,
}

/// Turns events of nodes into progress of the whole.
pub(super) struct Progress<'n> {
    names: &'n Names,
    total: usize,
    done: BTreeSet<String>,
    current: Option<String>,
    percent: f64,
    started: bool,
}

impl<'n> Progress<'n> {
    pub(super) fn new(names: &'n Names) -> Self {
        let total = names.count().max(1);
        Self { names, total, done: BTreeSet::new(), current: None, percent: 0.0, started: false }
    }

    /// What an event means, if it means anything. Whatever is at work has started, whether or not that was heard: what an
    /// engine says while a connection is being made is lost.
    pub(super) fn tell(&mut self, event: Event) -> impl Iterator<Item = Update> + use<> {
        let works = matches!(event, Event::Started | Event::Executing { .. } | Event::Progress { .. });
        let starts = works && !self.started;
        self.started |= works;
        starts.then_some(Update::Started).into_iter().chain(self.meaning(event))
    }

    fn meaning(&mut self, event: Event) -> Option<Update> {
        match event {
            Event::Queued { position } => Some(Update::Queued { position: Some(position as u64) }),
            Event::Cached { nodes } => {
                self.done.extend(nodes);
                None
            }
            Event::Executing { node } => {
                if let Some(before) = self.current.replace(node.clone()).filter(|before| *before != node) {
                    self.done.insert(before);
                }
                Some(self.step(node, None))
            }
            Event::Progress { node, value, max } => Some(self.step(node, Some((value, max)))),
            Event::Executed { node } => {
                self.done.insert(node);
                None
            }
            Event::Preview { node, content_type, data } => Some(Update::Preview { node, content_type, data }),
            Event::Unknown => Some(Update::Unknown),
            Event::Started | Event::Text { .. } | Event::Lagged => None,
        }
    }

    fn step(&mut self, node: String, of: Option<(f64, f64)>) -> Update {
        let fraction =
            of.map_or(0.0, |(value, max)| if max > 0.0 { (value / max).clamp(0.0, 1.0) } else { 0.0 });
        let done = self.done.iter().filter(|done| **done != node).count().min(self.total);
        let percent = (done as f64 + fraction) / self.total as f64 * 100.0;
        // Rounded to tenths: more would be a false promise.
        self.percent = self.percent.max((percent.min(100.0) * 10.0).round() / 10.0);
        let title = self.names.title(&node);
        Update::Progress(Step {
            percent: self.percent,
            node,
            title,
            value: of.map(|(value, _)| value),
            max: of.map(|(_, max)| max),
            eta_s: None,
        })
    }
}
