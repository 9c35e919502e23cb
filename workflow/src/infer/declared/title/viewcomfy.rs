//! ViewComfy's `VC_BASIC` and `VC_ADV` before a title. Where there is one, unmarked nodes are not offered.

use crate::{
    endpoint::Tier,
    graph::Node,
    infer::declared::{board::Board, claim::Claim},
};

const SIGNAL: &str = "a ViewComfy mark in the node's title";

fn parse(title: &str) -> Option<(Tier, &str)> {
    let basic = title.strip_prefix("VC_BASIC").map(|rest| (Tier::Primary, rest));
    let advanced = title.strip_prefix("VC_ADVANCED").or_else(|| title.strip_prefix("VC_ADV"));
    basic.or_else(|| advanced.map(|rest| (Tier::Advanced, rest)))
}

/// What stands after the mark.
pub(super) fn label(title: &str) -> Option<&str> {
    parse(title.trim()).map(|(_, rest)| rest.trim_start_matches(|one: char| !one.is_alphanumeric()).trim())
}

/// Every value of the node; the only one of a node is called what its author calls it.
pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node, title: &str) -> bool {
    let Some((tier, _)) = parse(title) else { return false };
    let offered = board.offered(node);
    let label = label(title).filter(|label| !label.is_empty() && offered.len() == 1);
    for input in &offered {
        let mut claim = Claim::new(input, SIGNAL).named(label);
        claim.tier = tier;
        board.claim(node, claim);
    }
    true
}
