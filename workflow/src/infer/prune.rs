//! Keeping what outputs need.

use std::collections::BTreeSet;

use crate::graph::{Graph, NodeId};

/// The graph without dead nodes. ComfyUI validates even nodes that nothing needs, so they must not be submitted.
pub(super) fn keep(mut graph: Graph, live: &BTreeSet<NodeId>) -> Graph {
    graph.nodes.retain(|id, _| live.contains(id));
    graph
}
