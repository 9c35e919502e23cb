use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::{Event, NodeId, frame::Signal};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One submitted prompt, as the socket's reader sees it. Nothing here waits: events that do not fit are dropped.
pub(crate) struct Waiter {
    events: Mutex<Option<mpsc::Sender<Event>>>,
    lagged: AtomicBool,
    /// Set between its start and its last message: only then can text without a prompt id be its own.
    pub(crate) running: AtomicBool,
    /// The last message came, a connection broke or a cancel took effect: look now.
    pub(crate) look: Notify,
    /// The last message came.
    pub(crate) done: AtomicBool,
    /// Taken out of the queue by us: its absence means cancelled, not lost.
    pub(crate) removed: AtomicBool,
    shown_as: Mutex<HashMap<NodeId, NodeId>>,
    pictures: Mutex<Pictures>,
}

/// Results that come over the socket, by node.
pub(crate) struct Pictures {
    /// None for a node that sent nothing yet.
    nodes: BTreeMap<NodeId, Received>,
    room: usize,
}

/// Media type and bytes of each picture, by node.
type Taken = BTreeMap<NodeId, Vec<(String, Bytes)>>;

#[derive(Default)]
struct Received {
    pictures: Vec<(String, Bytes)>,
    expected: usize,
    dropped: bool,
}

impl Waiter {
    pub(crate) fn new(events: mpsc::Sender<Event>, socket_nodes: &[NodeId], room: usize) -> Self {
        let nodes = socket_nodes.iter().map(|id| (id.clone(), Received::default())).collect();
        Self {
            events: Mutex::new(Some(events)),
            lagged: AtomicBool::new(false),
            running: AtomicBool::new(false),
            look: Notify::new(),
            done: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            shown_as: Mutex::default(),
            pictures: Mutex::new(Pictures { nodes, room }),
        }
    }

    pub(crate) fn send(&self, event: Event) {
        let events = lock(&self.events);
        let Some(sender) = events.as_ref() else { return };
        let free = sender.capacity();
        if matches!(event, Event::Preview { .. }) && free * 2 < sender.max_capacity() {
            return;
        }
        // The first event that fits again is preceded by the news that some are missing.
        if self.lagged.load(Ordering::Relaxed) {
            if free < 2 || sender.try_send(Event::Lagged).is_err() {
                return;
            }
            self.lagged.store(false, Ordering::Relaxed);
        }
        if sender.try_send(event).is_err() {
            self.lagged.store(true, Ordering::Relaxed);
        }
    }

    /// No more events will come.
    pub(crate) fn close(&self) {
        lock(&self.events).take();
    }

    /// Nobody reads the events any more, because the run was dropped.
    pub(crate) async fn dropped(&self) {
        let sender = lock(&self.events).clone();
        if let Some(sender) = sender {
            sender.closed().await;
        }
    }

    /// The connection that reported on this prompt is gone.
    pub(crate) fn disconnected(&self) {
        self.running.store(false, Ordering::Relaxed);
        self.send(Event::Unknown);
        self.look.notify_one();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        match signal {
            Signal::Started => {
                if !self.running.swap(true, Ordering::Relaxed) && !self.done.load(Ordering::Relaxed) {
                    self.send(Event::Started);
                }
            }
            Signal::Cached(nodes) => self.send(Event::Cached { nodes }),
            Signal::Executing { node, display } => {
                let node = self.learn(node, display);
                self.send(Event::Executing { node });
            }
            Signal::Progress { node, value, max } => self.progress(&node, value, max),
            Signal::Executed { node, display } => {
                let node = self.learn(node, display);
                self.send(Event::Executed { node });
            }
            Signal::Picture { node, display, content_type, data } => {
                if !self.keep(&node, &content_type, &data) {
                    let node = self.learn(node, display);
                    self.send(Event::Preview { node, content_type, data });
                }
            }
            Signal::Activity => {}
            Signal::Done => {
                self.running.store(false, Ordering::Relaxed);
                self.done.store(true, Ordering::Relaxed);
                self.look.notify_one();
            }
        }
    }

    fn progress(&self, node: &str, value: f64, max: f64) {
        if let Some(received) = lock(&self.pictures).nodes.get_mut(node) {
            // Such a node's progress counts pictures, so its maximum is how many there will be.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped before the cast"
            )]
            let pictures = max.clamp(0.0, 1e9) as usize;
            received.expected = received.expected.max(pictures);
        }
        let node = self.shown(node);
        self.send(Event::Progress { node, value, max });
    }

    /// Keeps a picture that is a result. Answers whether it was one.
    fn keep(&self, node: &str, content_type: &str, data: &Bytes) -> bool {
        let mut pictures = lock(&self.pictures);
        let room = pictures.room;
        let Some(received) = pictures.nodes.get_mut(node) else { return false };
        if content_type != "image/png" {
            return false;
        }
        if data.len() > room {
            received.dropped = true;
        } else {
            received.pictures.push((content_type.to_owned(), data.clone()));
            pictures.room -= data.len();
        }
        true
    }

    /// Takes the pictures that arrived, and the nodes of which some did not.
    pub(crate) fn take_pictures(&self) -> (Taken, Vec<NodeId>) {
        let nodes = std::mem::take(&mut lock(&self.pictures).nodes);
        let short = |r: &Received| r.dropped || r.pictures.is_empty() || r.pictures.len() < r.expected;
        let missing =
            nodes.iter().filter(|(_, received)| short(received)).map(|(id, _)| id.clone()).collect();
        (nodes.into_iter().map(|(id, received)| (id, received.pictures)).collect(), missing)
    }

    /// Whether all pictures seem to be there.
    pub(crate) fn complete(&self) -> bool {
        self.done.load(Ordering::Relaxed) || lock(&self.pictures).nodes.is_empty()
    }

    fn learn(&self, node: NodeId, display: Option<NodeId>) -> NodeId {
        match display {
            Some(display) if display != node => {
                lock(&self.shown_as).insert(node, display.clone());
                display
            }
            _ => node,
        }
    }

    fn shown(&self, node: &str) -> NodeId {
        lock(&self.shown_as).get(node).cloned().unwrap_or_else(|| node.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_drops_previews_first_and_says_so() {
        let (sender, mut receiver) = mpsc::channel(4);
        let waiter = Waiter::new(sender, &[], 0);
        let preview = || Signal::Picture {
            node: "1".to_owned(),
            display: None,
            content_type: "image/jpeg".to_owned(),
            data: Bytes::new(),
        };
        let executed = |node: &str| Signal::Executed { node: node.to_owned(), display: None };
        for node in ["a", "b", "c"] {
            waiter.signal(executed(node));
        }
        waiter.signal(preview());
        waiter.signal(executed("d"));
        waiter.signal(executed("lost"));
        let mut seen = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            seen.push(event);
        }
        assert!(seen.iter().all(|event| matches!(event, Event::Executed { .. })), "{seen:?}");
        assert_eq!(seen.len(), 4);
        waiter.signal(executed("e"));
        assert_eq!(receiver.try_recv(), Ok(Event::Lagged));
    }

    #[test]
    fn pictures_of_result_nodes_are_kept_and_counted() {
        let (sender, _receiver) = mpsc::channel(4);
        let waiter = Waiter::new(sender, &["9".to_owned(), "8".to_owned()], 4);
        let picture = |data: &'static [u8]| Signal::Picture {
            node: "9".to_owned(),
            display: None,
            content_type: "image/png".to_owned(),
            data: Bytes::from_static(data),
        };
        waiter.signal(Signal::Progress { node: "9".to_owned(), value: 0.0, max: 2.0 });
        waiter.signal(picture(b"abc"));
        waiter.signal(picture(b"too large"));
        let (pictures, missing) = waiter.take_pictures();
        assert_eq!(pictures["9"].len(), 1);
        assert_eq!(missing, ["8", "9"]);
    }
}
