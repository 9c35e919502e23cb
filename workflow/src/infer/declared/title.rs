//! Tags in titles: nothing to install, and they survive every export.

use super::{board::Board, claim::Claim};
use crate::{diagnostic::Diagnostic, graph::Node, infer::outputs};

pub(super) mod braces;
pub(super) mod connect;
pub(super) mod mcww;
pub(super) mod own;
mod viewcomfy;
mod visionatrix;

/// Each declares what a title says in its convention, and says whether that was anything.
const CONVENTIONS: &[fn(&mut Board<'_, '_>, &Node, &str) -> bool] =
    &[own::declare, connect::declare, mcww::declare, visionatrix::declare, braces::declare];

/// Declares what a title says. True where the convention is that unmarked nodes are not offered at all.
pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node) -> bool {
    let Some(title) = node.title.as_deref().map(|title| head(title).trim()).filter(|title| !title.is_empty())
    else {
        return false;
    };
    if viewcomfy::declare(board, node, title) {
        return true;
    }
    // One title is in one convention: the first that finds something to say.
    let _spoken = CONVENTIONS.iter().any(|convention| convention(board, node, title));
    false
}

/// The switches that a node is part of, and whether they are on by themselves.
pub(in crate::infer) fn switches(node: &Node) -> Vec<(&str, bool)> {
    let words = own::read(head(node.title.as_deref().unwrap_or_default()));
    words
        .filter_map(|word| if let own::Word::Switch(name, on) = word { Some((name, on)) } else { None })
        .collect()
}

/// As much of a title as anybody reads: tags further on would cost time for every value of the node.
pub(super) fn head(title: &str) -> &str {
    const LONGEST: usize = 1000;
    &title[..title.floor_char_boundary(LONGEST)]
}

/// What is left of a title without tags, which is what names may be taken from.
pub(in crate::infer) fn plain(title: &str) -> Option<&str> {
    let title = head(title);
    let title = viewcomfy::label(title).unwrap_or(title).trim();
    if mcww::parse(title).is_some() || visionatrix::parse(title).is_some() {
        return None;
    }
    let end = own::start(title).into_iter().chain(connect::start(title)).min().unwrap_or(title.len());
    braces::outside(title[..end].trim())
}

/// Words of a title that begin with this character, and where each begins. Such a word ends at a space outside its own
/// parentheses.
fn words(title: &str, mark: char) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let every = std::iter::from_fn(move || {
        let rest = &title[at..];
        let start = at + rest.find(|one: char| !one.is_whitespace())?;
        let mut depth = 0_usize;
        let marked = title[start..].starts_with(mark);
        let ends = |one: char| {
            depth = match one {
                '(' if marked => depth + 1,
                ')' => depth.saturating_sub(1),
                _ => depth,
            };
            one.is_whitespace() && depth == 0
        };
        at = title[start..].find(ends).map_or(title.len(), |length| start + length);
        Some((start, &title[start..at]))
    });
    every.filter(move |(_, word)| word.starts_with(mark))
}

/// Claims the main value of a node.
fn claim_main(board: &mut Board<'_, '_>, node: &Node, claim: impl FnOnce(&str) -> Claim) {
    match board.main_input(node) {
        Some(input) => {
            board.claim(node, claim(&input));
        }
        None if outputs::is_output(node, board.context) => {}
        None => board.report(
            node,
            Diagnostic::warning(
                "bad-tag",
                "the title marks this node, which has no value that callers could set",
            )
            .help("mark the node that holds the value, or remove the tag"),
        ),
    }
}

/// The inputs that a tag could have meant.
fn no_such_input(board: &mut Board<'_, '_>, node: &Node, tag: &str, input: &str, shape: &str) {
    let offered = board.offered(node);
    let help = if offered.is_empty() {
        "this node has no value that callers could set; remove the tag".to_owned()
    } else {
        let choices: Vec<String> = offered.iter().take(8).map(|input| shape.replace('?', input)).collect();
        format!("write one of {}", choices.join(", "))
    };
    let message = format!("`{tag}` names `{input}`, which is no value of this node");
    board.report(node, Diagnostic::error("bad-tag", message).help(help));
}
