//! `<Label:category[/tab]:row[/column]> min, max, step` of Minimalistic Comfy Wrapper WebUI.

use super::claim_main;
use crate::{
    diagnostic::{Diagnostic, printable},
    endpoint::{ParamType, Tier},
    graph::Node,
    infer::declared::{board::Board, claim::Claim, range::Range},
    json::Number,
};

const SIGNAL: &str = "a <Label:category:row> title";

/// A title that places a node on a page.
#[derive(Debug, PartialEq)]
pub(in crate::infer::declared) struct Place<'t> {
    pub(in crate::infer::declared) label: &'t str,
    category: &'t str,
    arguments: &'t str,
}

impl Place<'_> {
    pub(in crate::infer::declared) fn is_output(&self) -> bool {
        matches!(self.category, "output" | "outputs")
    }

    fn tier(&self) -> Tier {
        match self.category {
            "prompt" | "prompts" | "important" => Tier::Primary,
            _ => Tier::Advanced,
        }
    }

    /// Two or three numbers; anything else is about the page.
    fn range(&self) -> Range {
        let numbers: Option<Vec<Number>> = self.arguments.split(',').map(Number::parse).collect();
        match numbers.as_deref() {
            Some([min, max]) => Range { min: Some(min.clone()), max: Some(max.clone()), step: None },
            Some([min, max, step]) => {
                Range { min: Some(min.clone()), max: Some(max.clone()), step: Some(step.clone()) }
            }
            _ => Range::default(),
        }
    }
}

pub(in crate::infer::declared) fn parse(title: &str) -> Option<Place<'_>> {
    let (inside, arguments) = title.trim().strip_prefix('<')?.split_once('>')?;
    let mut parts = inside.split(':');
    let (label, category, row) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let placed = row.split('/').all(number) && row.split('/').count() <= 2;
    let category = category.split('/').next().unwrap_or_default().trim();
    let fine = parts.next().is_none() && placed && !label.trim().is_empty() && !category.is_empty();
    fine.then(|| Place { label: label.trim(), category, arguments: arguments.trim() })
}

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node, title: &str) -> bool {
    let Some(place) = parse(title) else {
        if title.starts_with('<') && title.contains('>') && title.matches(':').count() >= 2 {
            let message = format!("`{}` is not a place on a page", printable(title));
            let help = "write <Label:category:row>, with a number as the row, such as <Prompt:prompt:1>";
            board.report(node, Diagnostic::warning("bad-tag", message).help(help));
        }
        return false;
    };
    if place.is_output() {
        return true;
    }
    let integer = |board: &mut Board<'_, '_>, input: &str| {
        board.of(node).iter().any(|own| own.input == input && own.ty == ParamType::Integer)
    };
    let range = place.range();
    let main = board.main_input(node);
    let seed = place.label.to_lowercase().contains("seed")
        && range == Range::default()
        && main.is_some_and(|input| integer(board, &input));
    claim_main(board, node, |input| {
        let mut claim = Claim::new(input, SIGNAL).named(Some(place.label));
        claim.tier = place.tier();
        claim.ty = seed.then_some(ParamType::Seed);
        claim.range = range;
        claim
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_place_nodes() {
        let cfg = parse("<CFG:advanced/General:2/2> 1, 10, 0.1").unwrap();
        assert_eq!((cfg.label, cfg.tier()), ("CFG", Tier::Advanced));
        assert_eq!(cfg.range().max.unwrap().as_str(), "10");
        assert!(parse("<Output:output:1> md").unwrap().is_output());
        for none in ["<a:b>", "<a:b:c>", "<lora:style:0.8>", "a:b:1", "<:b:1>", "<a:b:1/2/3>"] {
            assert!(parse(none).is_none(), "{none}");
        }
    }
}
