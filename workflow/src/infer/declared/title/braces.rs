//! Titles that are nothing but a name: `{name}`, `{name?}`, `[in_name]`, `PARAM_INT_NAME`, `ARCREEL:name`.

use super::claim_main;
use crate::{
    graph::Node,
    infer::declared::{board::Board, placeholder},
};

const SIGNAL: &str = "a tag in the node's title";

/// What such a title says.
#[derive(Debug)]
pub(in crate::infer::declared) struct Tag {
    pub(in crate::infer::declared) found: placeholder::Placeholder,
    /// Whether texts and files must be given.
    required: bool,
}

pub(in crate::infer::declared) fn parse(title: &str) -> Option<Tag> {
    let title = title.trim();
    if let Some(found) = placeholder::parameter(title) {
        return Some(Tag { found, required: false });
    }
    let between =
        |open: &str, close: &str| title.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let braced = between("{", "}").or_else(|| between("[in_", "]")).or_else(|| between("[out_", "]"));
    let (text, required) = match (braced, title.strip_prefix("ARCREEL:")) {
        (Some(inner), _) => (inner.trim_end_matches('?'), !inner.ends_with('?')),
        (None, Some(key)) => (key.trim(), false),
        _ => return None,
    };
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let found = placeholder::Placeholder { name: text.to_owned(), default: None, ty: None };
    (plain && !text.is_empty()).then_some(Tag { found, required })
}

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node, title: &str) -> bool {
    let Some(tag) = parse(title) else { return false };
    let main = board.main_input(node);
    let text = board.of(node).iter().any(|own| Some(&own.input) == main.as_ref() && own.is_free_text());
    claim_main(board, node, |input| {
        let mut claim = placeholder::claimed(tag.found, input, SIGNAL);
        claim.required = (tag.required && text).then_some(true);
        claim
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_carry_tags() {
        assert_eq!(parse("{style}").unwrap().found.name, "style");
        assert!(!parse("{style?}").unwrap().required);
        assert_eq!(parse("[in_photo]").unwrap().found.name, "photo");
        assert_eq!(parse("PARAM_INT_STEPS").unwrap().found.name, "steps");
        assert!(parse("Load {x} now").is_none());
    }
}
