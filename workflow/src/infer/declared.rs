//! What authors declare inside the graph: parameter nodes, tags in titles, and placeholders.
//!
//! Every convention that is in use becomes the same thing, a [`claim::Claim`] on one value of one node.

use super::{Context, candidate::Candidate};
use crate::{
    diagnostic::Diagnostic,
    endpoint::{ParamType, Tier},
};

mod board;
pub(super) mod bypass;
mod claim;
mod conflict;
mod marker;
mod name;
pub(super) mod output;
mod placeholder;
mod range;
mod title;
pub(super) mod unwrap;

pub(super) use title::{plain as plain_title, switches};

/// Whether a value is nothing but a placeholder.
pub(super) fn is_placeholder(value: &str) -> bool {
    placeholder::parse(value.trim()).is_some()
}

/// Applies every declaration. What contradicts itself or cannot be read is among the diagnostics.
pub(super) fn mark(context: &Context<'_>, candidates: &mut [Candidate], diagnostics: &mut Vec<Diagnostic>) {
    let mut board = board::Board::new(context, candidates, diagnostics);
    let mut only_marked = false;
    for node in context.graph.nodes.values() {
        if marker::declare(&mut board, node) {
            continue;
        }
        only_marked |= title::declare(&mut board, node);
    }
    board.finish();
    if only_marked {
        hide_unmarked(candidates);
    }
    placeholder::declare(context, candidates, diagnostics);
    conflict::check(context, candidates, diagnostics);
}

/// Under some conventions the author lists everything that callers see. Seeds stay reachable: fixed for good, they
/// would make every run the same.
fn hide_unmarked(candidates: &mut [Candidate]) {
    for candidate in candidates.iter_mut().filter(|candidate| !candidate.settled) {
        match candidate.tier {
            Tier::Hidden | Tier::Model => {}
            _ if candidate.ty == ParamType::Seed => {
                candidate.settled = true;
                candidate.put(Tier::Advanced, "a seed that the author did not mark");
            }
            _ => candidate.put(Tier::Hidden, "the author marked other values"),
        }
    }
}
