//! Ids that are taken: newer editors give the nodes of subgraphs ids that occur once in the whole file.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Document, Graph, id_text};
use crate::json::Value;

/// Gives nodes inside subgraphs a free id where theirs occurs before, as the editor does when it opens the file.
pub(super) fn renumber(value: &Value, document: &mut Document) {
    let Some((outermost, inner)) = document.graphs.split_first_mut() else { return };
    let mut taken: BTreeSet<String> = outermost.nodes.keys().cloned().collect();
    let counted = value.get("last_node_id").or_else(|| value.get("state")?.get("lastNodeId"));
    let mut last = counted.and_then(Value::as_u64).unwrap_or(0);
    let mut moved: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
    for (index, graph) in inner.iter_mut().enumerate() {
        let mut ids = BTreeMap::new();
        for id in graph.nodes.keys() {
            if taken.insert(id.clone()) {
                last = last.max(id.parse().unwrap_or(0));
                continue;
            }
            let free = loop {
                last = last.wrapping_add(1);
                if taken.insert(last.to_string()) {
                    break last.to_string();
                }
            };
            ids.insert(id.clone(), free);
        }
        if !ids.is_empty() {
            apply(graph, &ids);
            moved.insert(index + 1, ids);
        }
    }
    follow(document, &moved);
}

fn apply(graph: &mut Graph, ids: &BTreeMap<String, String>) {
    let nodes = std::mem::take(&mut graph.nodes);
    for (id, mut node) in nodes {
        let id = ids.get(&id).cloned().unwrap_or(id);
        node.id.clone_from(&id);
        graph.nodes.insert(id, node);
    }
    for link in graph.links.values_mut() {
        for end in [&mut link.origin, &mut link.target] {
            if let Some(id) = ids.get(end) {
                end.clone_from(id);
            }
        }
    }
}

/// Nodes that stand for a subgraph may name nodes inside it.
fn follow(document: &mut Document, moved: &BTreeMap<usize, BTreeMap<String, String>>) {
    let Document { graphs, definitions } = document;
    for node in graphs.iter_mut().flat_map(|graph| graph.nodes.values_mut()) {
        let ids = definitions.get(&node.class).and_then(|graph| moved.get(graph));
        for (id, _) in &mut node.borrowed {
            if let Some(free) = ids.and_then(|ids| ids.get(id)) {
                id.clone_from(free);
            }
        }
    }
}

/// Inner widgets that a node borrows, by node and name, in the order of its values.
pub(super) fn borrowed(properties: Option<&Value>, most: usize) -> Vec<(String, String)> {
    let listed =
        properties.and_then(|all| all.get("proxyWidgets")).and_then(Value::as_array).unwrap_or_default();
    let pair = |entry: &Value| {
        let items = entry.as_array()?;
        Some((id_text(items.first()?)?, items.get(1)?.as_str()?.to_owned()))
    };
    listed.iter().take(most).map(|entry| pair(entry).unwrap_or_default()).collect()
}
