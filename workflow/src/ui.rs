//! The editor's own format, turned into what the editor would submit.
//!
//! A workflow saved by the editor holds nodes, links and the values of widgets in the order of the screen. What
//! ComfyUI executes is computed from it in the browser: subgraphs are unfolded, bypassed nodes short-circuited,
//! muted ones dropped, helper nodes resolved. [`convert`] does the same from the file and the node definitions.

use crate::{
    catalog::Catalog,
    diagnostic::Diagnostic,
    json::{Object, Value},
};

mod asleep;
mod custom_combo;
mod declarations;
mod described;
mod document;
mod emit;
mod facts;
mod group_nodes;
mod groups;
mod host;
mod instances;
mod layout;
mod power_lora;
mod primitive;
mod renumber;
mod resolve;
mod settle;
mod slots;
mod virtual_nodes;
mod widgets;

pub use facts::{Declaration, ModelFact, PackFact, UiFacts, Wish};
pub use groups::Group;
pub(crate) use groups::is_optional;

/// A workflow in API format, and what only the editor's format knows about it.
#[derive(Debug, Clone, Default)]
pub struct Converted {
    /// Nodes by id, as the editor would submit them.
    pub graph: Object,
    /// What the author declared about it.
    pub facts: UiFacts,
    /// What is in the way, and what was odd. Complete only if no error is among them.
    pub diagnostics: Vec<Diagnostic>,
    /// Groups that are bypassed or muted and could be switched on, by their place among the groups of the file.
    pub asleep: Vec<usize>,
}

/// More nodes than this are not unfolded: subgraphs within subgraphs multiply.
const MOST_NODES: usize = 200_000;
/// Subgraphs within subgraphs deeper than this are refused.
const DEEPEST_SUBGRAPH: usize = 48;
/// Ids longer than this are refused: every node of a subgraph repeats them.
const LONGEST_ID: usize = 128;
/// Nor are ids of nodes in subgraphs longer than this.
const LONGEST_PATH: usize = 512;
/// Nodes with more inputs than this are refused.
const MOST_SLOTS: usize = 1_000;
/// Findings beyond this many are counted instead of printed.
const MOST_FINDINGS: usize = 200;

/// Whether a value looks like the editor's own format.
pub fn is_ui_format(value: &Value) -> bool {
    value.get("nodes").is_some_and(|nodes| nodes.as_array().is_some())
}

/// What the editor would submit for this workflow.
pub fn convert(value: &Value, catalog: &Catalog) -> Converted {
    let (mut converted, document, layouts) = convert_document(value, catalog, &|_| ());
    converted.asleep = asleep::find(value, &document, &layouts, &converted, catalog);
    converted
}

/// The same with some of the groups that are asleep taking part; each of them is marked as [`Group::asleep`].
pub fn convert_awake(value: &Value, catalog: &Catalog, groups: &[usize]) -> Converted {
    asleep::wake(value, catalog, groups)
}

/// Converts a file after a change to what was read from it.
fn convert_document(
    value: &Value,
    catalog: &Catalog,
    change: &dyn Fn(&mut document::Document),
) -> (Converted, document::Document, Vec<Vec<layout::Layout>>) {
    let mut diagnostics = Vec::new();
    let mut document = document::read(value, &mut diagnostics);
    group_nodes::unfold(value, &mut document, catalog, &mut diagnostics);
    change(&mut document);
    let layouts = layout::all(&document, catalog);
    let outsides = host::outsides(&document, &layouts);
    let instances = instances::expand(&document, &layouts, &mut diagnostics);
    let whole = resolve::Whole::new(&document, &layouts, &outsides, &instances);
    let graph = emit::graph(&whole, catalog, &mut diagnostics);
    let facts = facts::collect(value, &whole, &graph);
    if diagnostics.len() > MOST_FINDINGS {
        let more = diagnostics.len() - MOST_FINDINGS;
        diagnostics.sort_by_key(|found| std::cmp::Reverse(found.severity));
        diagnostics.truncate(MOST_FINDINGS);
        diagnostics.push(Diagnostic::note("more", format!("and {more} more findings")));
    }
    (Converted { graph, facts, diagnostics, asleep: Vec::new() }, document, layouts)
}

/// How to get a file that needs no conversion.
const EXPORT: &str = "in ComfyUI choose Workflow → Export (API), or save the answer of its `GET /object_info` as \
     object_info.json beside the workflow";
