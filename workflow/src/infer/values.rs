//! Every literal of the graph, with its type.

use super::{Context, candidate::Candidate, types};
use crate::{endpoint::Tier, json::Value};

/// Candidates in topological order, then in the order of inputs.
pub(super) fn collect(context: &Context<'_>) -> Vec<Candidate> {
    let mut nodes: Vec<_> = context.graph.nodes.values().collect();
    nodes.sort_by_key(|node| context.rank(&node.id));
    let mut candidates = Vec::new();
    for node in nodes {
        for (input, value) in node.literals() {
            let mut candidate = types::candidate(context, node, input, value);
            if matches!(value, Value::Null | Value::Array(_) | Value::Object(_)) {
                candidate.put(Tier::Hidden, "not a plain value");
            }
            candidates.push(candidate);
        }
    }
    candidates
}
