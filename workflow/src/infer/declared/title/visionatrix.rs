//! Visionatrix's titles: `input;Display Name;optional;advanced;order=1;custom_id=name`.

use super::claim_main;
use crate::{
    endpoint::Tier,
    graph::Node,
    infer::declared::{board::Board, claim::Claim},
};

const SIGNAL: &str = "an input;… title";

/// The name, and whether it is optional and advanced.
pub(super) fn parse(title: &str) -> Option<(&str, bool, bool)> {
    let mut fields = title.trim().strip_prefix("input;")?.split(';').map(str::trim);
    let label = fields.next().filter(|label| !label.is_empty())?;
    let (mut name, mut optional, mut advanced) = (label, false, false);
    for field in fields {
        match field.split_once('=') {
            Some(("custom_id", id)) if !id.is_empty() => name = id,
            None if field == "optional" => optional = true,
            None if field == "advanced" => advanced = true,
            _ => {}
        }
    }
    Some((name, optional, advanced))
}

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node, title: &str) -> bool {
    let Some((name, optional, advanced)) = parse(title) else { return false };
    claim_main(board, node, |input| {
        let mut claim = Claim::new(input, SIGNAL).named(Some(name));
        claim.required = Some(!optional);
        claim.tier = if advanced { Tier::Advanced } else { Tier::Primary };
        claim
    });
    true
}
