//! The coloured boxes that authors draw around nodes.

use super::document::id_text;
use crate::{
    graph::NodeId,
    json::{Object, Value},
};

/// Nodes within one box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What the author wrote on it.
    pub title: String,
    /// Nodes whose middle lies within it, with those inside of subgraphs there.
    pub nodes: Vec<NodeId>,
    /// Its place among the boxes of the file.
    pub place: usize,
    /// Whether all of it is bypassed or muted in the file.
    pub asleep: bool,
}

/// Words in the titles of groups that authors switch on and off.
const OPTIONAL: &[&str] = &[
    "optional",
    "upscal",
    "hires",
    "hi-res",
    "highres",
    "refine",
    "detailer",
    "face",
    "restore",
    "sharpen",
    "grain",
    "color",
    "colour",
    "postprocess",
    "post-process",
    "interpolat",
    "controlnet",
    "ipadapter",
    "ip-adapter",
];

/// Whether a title says that what is in the box need not be.
pub(crate) fn is_optional(title: &str) -> bool {
    let title = title.to_lowercase();
    OPTIONAL.iter().any(|word| title.contains(word))
}

/// A box with the ids of the outermost nodes in it.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) nodes: Vec<String>,
}

/// The boxes of the outermost graph with what is executed in them.
pub(super) fn find(value: &Value, graph: &Object) -> Vec<Group> {
    let executed = |(place, frame): (usize, Frame)| {
        let belongs = |id: &&String| {
            frame.nodes.iter().any(|node| {
                id.strip_prefix(node.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            })
        };
        let nodes: Vec<NodeId> = graph.keys().filter(belongs).cloned().collect();
        (!nodes.is_empty()).then_some(Group { title: frame.title, nodes, place, asleep: false })
    };
    frames(value).into_iter().enumerate().filter_map(executed).collect()
}

/// The boxes of the outermost graph.
pub(super) fn frames(value: &Value) -> Vec<Frame> {
    let listed = |key: &str| value.get(key).and_then(Value::as_array).unwrap_or_default();
    let middles: Vec<(String, (f64, f64))> =
        listed("nodes").iter().filter_map(|node| Some((id_text(node.get("id")?)?, middle(node)?))).collect();
    let groups = listed("groups").iter().filter_map(|group| {
        let title = group.get("title").and_then(Value::as_str)?.to_owned();
        let bounds: Vec<f64> = group.get("bounding")?.as_array()?.iter().filter_map(Value::as_f64).collect();
        let [left, top, width, height] = bounds.as_slice() else { return None };
        let within =
            |(x, y): &(f64, f64)| *x >= *left && *x < left + width && *y >= *top && *y < top + height;
        let inside = middles.iter().filter(|(_, middle)| within(middle)).map(|(id, _)| id.clone());
        Some(Frame { title, nodes: inside.collect() })
    });
    groups.collect()
}

fn middle(node: &Value) -> Option<(f64, f64)> {
    let pair = |key: &str| {
        let value = node.get(key)?;
        // Old editors wrote typed arrays as objects.
        let at = |index: usize, name: &str| {
            value
                .as_array()
                .and_then(|list| list.get(index))
                .or_else(|| value.get(name))
                .and_then(Value::as_f64)
        };
        Some((at(0, "0")?, at(1, "1")?))
    };
    let ((x, y), (width, height)) = (pair("pos")?, pair("size").unwrap_or((0.0, 0.0)));
    Some((x + width / 2.0, y + height / 2.0))
}
