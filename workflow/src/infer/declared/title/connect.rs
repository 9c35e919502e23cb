//! ComfyUI-Connect's `$name`, `$name(a,b)` and `#name`, and OneAPI's `$name.input` and `$output.name`.

use super::{no_such_input, words};
use crate::{
    graph::Node,
    infer::declared::{board::Board, claim::Claim},
};

const SIGNAL: &str = "a `$` tag in the node's title";

/// One `$` tag.
#[derive(Debug, PartialEq)]
struct Tag<'t> {
    text: &'t str,
    name: &'t str,
    /// The inputs that are listed; `None` is all of them.
    inputs: Option<Vec<&'t str>>,
    required: Option<bool>,
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn parse(text: &str) -> Option<Tag<'_>> {
    let body = text.strip_prefix('$')?;
    if let Some((name, list)) = body.split_once('(') {
        let list = list.strip_suffix(')')?;
        let inputs = list.split(',').map(str::trim).filter(|input| !input.is_empty()).collect();
        return is_word(name).then_some(Tag { text, name, inputs: Some(inputs), required: None });
    }
    if let Some((name, input)) = body.split_once('.') {
        let (input, required) = input.strip_suffix('!').map_or((input, None), |input| (input, Some(true)));
        let fine = is_word(name) && !input.is_empty() && name != "output";
        return fine.then(|| Tag { text, name, inputs: Some(vec![input]), required });
    }
    let (name, required) = body.strip_suffix('!').map_or((body, None), |name| (name, Some(true)));
    is_word(name).then_some(Tag { text, name, inputs: None, required })
}

/// The name of a result: `#name`, `$output.name`.
pub(in crate::infer::declared) fn result(title: &str) -> Option<&str> {
    let hash = words(title, '#').filter_map(|(_, word)| word.strip_prefix('#'));
    let output = words(title, '$').filter_map(|(_, word)| word.strip_prefix("$output."));
    hash.chain(output).find(|name| is_word(name))
}

/// Whether a run leaves the node out.
pub(in crate::infer::declared) fn bypasses(title: &str) -> bool {
    words(title, '!').any(|(_, word)| word == "!bypass")
}

/// Where the first tag begins.
pub(super) fn start(title: &str) -> Option<usize> {
    let inputs = words(title, '$').filter(|(_, word)| parse(word).is_some() || word.starts_with("$output."));
    let results = words(title, '#').filter(|(_, word)| is_word(&word[1..]));
    let orders = words(title, '!').filter(|(_, word)| matches!(*word, "!bypass" | "!cache"));
    inputs.chain(results).chain(orders).map(|(at, _)| at).min()
}

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node, title: &str) -> bool {
    let tags: Vec<Tag<'_>> = words(title, '$').filter_map(|(_, word)| parse(word)).collect();
    for tag in &tags {
        claim(board, node, tag);
    }
    if !tags.is_empty() {
        board.hide_rest(node, "not among the inputs that the title lists");
    }
    !tags.is_empty()
}

/// One input is called like the tag; of several, each is called after both.
fn claim(board: &mut Board<'_, '_>, node: &Node, tag: &Tag<'_>) {
    let offered = board.offered(node);
    let wanted: Vec<String> = match &tag.inputs {
        None => offered,
        Some(listed) => listed.iter().map(|input| (*input).to_owned()).collect(),
    };
    let several = wanted.len() > 1;
    for input in &wanted {
        let name = if several { format!("{}_{input}", tag.name) } else { tag.name.to_owned() };
        let mut claim = Claim::new(input, SIGNAL).named(Some(name));
        claim.required = tag.required;
        // File names belong to the server.
        let mine = input != "filename_prefix" && board.of(node).iter().any(|own| own.input == *input);
        if !mine || !board.claim(node, claim) {
            no_such_input(board, node, tag.text, input, &format!("`${}(?)`", tag.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tools_tags_are_read() {
        assert_eq!(parse("$sampler").unwrap().inputs, None);
        assert_eq!(parse("$s(seed, steps)").unwrap().inputs, Some(vec!["seed", "steps"]));
        assert_eq!(parse("$s()").unwrap().inputs, Some(vec![]));
        assert_eq!(parse("$prompt.text!").unwrap().required, Some(true));
        for none in ["$100", "$", "$a b", "$output.x", "$a(b", "cost"] {
            assert!(parse(none).is_none(), "{none}");
        }
        assert_eq!(result("Save Image #hero"), Some("hero"));
        assert_eq!(result("$output.hero"), Some("hero"));
        assert_eq!(result("Preview #2"), None);
        assert!(bypasses("Debug !bypass") && !bypasses("Debug!bypass"));
    }
}
