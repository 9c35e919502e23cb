//! Unfolding subgraphs: each node that stands for one gets its own copy of the inside.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DEEPEST_SUBGRAPH, LONGEST_PATH, MOST_NODES,
    document::{Document, Mode},
    layout::{Kind, Layout},
};
use crate::diagnostic::Diagnostic;

/// A graph in its place.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) graph: usize,
    /// The instance around it, and the place there of the node that stands for it.
    pub(super) host: Option<(usize, usize)>,
    /// What the ids of its nodes begin with: `57:`.
    pub(super) path: String,
}

/// All instances. The first is the outermost graph.
#[derive(Debug, Default)]
pub(super) struct Instances {
    pub(super) all: Vec<Instance>,
    /// By the instance around it and the place of the node there.
    pub(super) inner: BTreeMap<(usize, usize), usize>,
}

/// Unfolds every active subgraph, as far as the limits allow.
pub(super) fn expand(
    document: &Document,
    layouts: &[Vec<Layout>],
    diagnostics: &mut Vec<Diagnostic>,
) -> Instances {
    let mut instances = Instances::default();
    instances.all.push(Instance { graph: 0, host: None, path: String::new() });
    let (mut next, mut nodes, mut named) = (0, 0, BTreeSet::new());
    while next < instances.all.len() {
        let (graph, path) = (instances.all[next].graph, instances.all[next].path.clone());
        nodes += document.graphs[graph].nodes.len();
        if nodes > MOST_NODES {
            diagnostics.push(too_large());
            return Instances {
                all: vec![Instance { graph: 0, host: None, path: String::new() }],
                ..Instances::default()
            };
        }
        for (index, (node, layout)) in document.graphs[graph].nodes.values().zip(&layouts[graph]).enumerate()
        {
            let Kind::Host(inside) = layout.kind else { continue };
            if node.mode != Mode::Active {
                continue;
            }
            if path.len() > LONGEST_PATH || recursive(&instances, next, inside) {
                if !named.insert((graph, index)) {
                    continue;
                }
                diagnostics.push(
                    Diagnostic::error(
                        "recursive-subgraph",
                        "a subgraph contains itself, or is nested too deeply",
                    )
                    .at_node(&format!("{path}{}", node.id), node.title.as_deref())
                    .help("remove it from its own inside"),
                );
                continue;
            }
            instances.inner.insert((next, index), instances.all.len());
            instances.all.push(Instance {
                graph: inside,
                host: Some((next, index)),
                path: format!("{path}{}:", node.id),
            });
        }
        next += 1;
    }
    instances
}

/// Whether a subgraph is one of those around it, or too deep to tell.
fn recursive(instances: &Instances, around: usize, inside: usize) -> bool {
    let (mut at, mut depth) = (Some(around), 0);
    while let Some(instance) = at {
        if instances.all[instance].graph == inside || depth > DEEPEST_SUBGRAPH {
            return true;
        }
        at = instances.all[instance].host.map(|(outer, _)| outer);
        depth += 1;
    }
    false
}

fn too_large() -> Diagnostic {
    Diagnostic::error(
        "too-large",
        format!("the workflow has more than {MOST_NODES} nodes with its subgraphs unfolded"),
    )
    .help("split the workflow")
}
