//! comfyport's own tag: `@name`, `@name=input`, `@name(4..50)`, `@name(a|b)`, `@name!`, `@-`, `@-input`,
//! `@?switch`.

use super::{no_such_input, words};
use crate::{
    diagnostic::{Diagnostic, printable},
    graph::Node,
    infer::{
        declared::{board::Board, claim::Claim, range::Range},
        outputs,
    },
    json::{Number, Value},
    sidecar::{NAME_RULE, is_name},
};

const SIGNAL: &str = "a tag in the node's title";
const GRAMMAR: &str = "a tag is `@name`, then, as needed, `=input`, `(least..most)` or `(one|other)`, and `!` for required; \
                       `@?name` is a switch";

/// One tag as written.
#[derive(Debug, PartialEq)]
pub(in crate::infer::declared) struct Tag<'t> {
    text: &'t str,
    pub(in crate::infer::declared) name: &'t str,
    pub(in crate::infer::declared) input: Option<&'t str>,
    inside: Option<&'t str>,
    required: Option<bool>,
}

/// What begins with `@` and could be meant as a tag.
#[derive(Debug, PartialEq)]
pub(in crate::infer::declared) enum Word<'t> {
    Tag(Tag<'t>),
    /// All values of the node, or one.
    Hide(Option<&'t str>),
    /// The node is part of what this switch takes out; whether it is on by itself.
    Switch(&'t str, bool),
    Malformed(&'t str),
}

pub(in crate::infer::declared) fn read(title: &str) -> impl Iterator<Item = Word<'_>> {
    words(title, '@').filter_map(|(_, word)| parse(word))
}

/// Where the first tag begins.
pub(super) fn start(title: &str) -> Option<usize> {
    words(title, '@').find(|(_, word)| parse(word).is_some()).map(|(at, _)| at)
}

fn parse(word: &str) -> Option<Word<'_>> {
    let body = word.strip_prefix('@')?;
    if let Some(input) = body.strip_prefix('-') {
        return Some(Word::Hide(Some(input).filter(|input| !input.is_empty())));
    }
    if let Some(switch) = body.strip_prefix('?') {
        let (name, on) = switch.strip_suffix("=off").map_or((switch, true), |name| (name, false));
        return Some(if is_name(name) { Word::Switch(name, on) } else { Word::Malformed(word) });
    }
    let first = body.chars().next()?;
    if !first.is_alphabetic() {
        return None;
    }
    Some(tag(word, body).map_or(Word::Malformed(word), Word::Tag))
}

fn tag<'t>(text: &'t str, body: &'t str) -> Option<Tag<'t>> {
    let (body, required) = match body.strip_suffix(['!', '?']) {
        Some(rest) => (rest, Some(body.ends_with('!'))),
        None => (body, None),
    };
    let (head, inside) = match body.split_once('(') {
        Some((head, rest)) => (head, Some(rest.strip_suffix(')')?)),
        None => (body, None),
    };
    let (name, input) = head.split_once('=').map_or((head, None), |(name, input)| (name, Some(input)));
    let fine = is_name(name) && input != Some("") && inside.is_none_or(|inside| !inside.contains(['(', ')']));
    fine.then_some(Tag { text, name, input, inside, required })
}

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node, title: &str) -> bool {
    let words: Vec<Word<'_>> = read(title).collect();
    let result = outputs::is_output(node, board.context);
    for word in &words {
        match word {
            Word::Malformed(word) => malformed(board, node, word),
            Word::Tag(tag) if result && tag.input.is_none() => {}
            Word::Tag(tag) => value(board, node, tag),
            Word::Hide(Some(input)) => hide(board, node, input),
            Word::Hide(None) | Word::Switch(..) => {}
        }
    }
    if words.contains(&Word::Hide(None)) {
        board.hide_rest(node, "hidden by a tag in the node's title");
    }
    !words.is_empty()
}

fn malformed(board: &mut Board<'_, '_>, node: &Node, word: &str) {
    let found = Diagnostic::error("bad-tag", format!("`{}` is not a tag", printable(word)));
    let lower = word.to_lowercase();
    let help = match parse(&lower) {
        Some(Word::Tag(_)) if lower != word => {
            format!("write `{lower}`, or put no space before the `@` where no tag is meant")
        }
        _ => format!("{GRAMMAR}; {NAME_RULE}"),
    };
    board.report(node, found.help(help));
}

fn hide(board: &mut Board<'_, '_>, node: &Node, input: &str) {
    let own = board.of(node).iter_mut().find(|candidate| candidate.input == input);
    match own {
        Some(candidate) => {
            candidate.settled = true;
            candidate.put(crate::endpoint::Tier::Hidden, "hidden by a tag in the node's title");
        }
        None => no_such_input(board, node, &format!("@-{input}"), input, "`@-?`"),
    }
}

fn value(board: &mut Board<'_, '_>, node: &Node, tag: &Tag<'_>) {
    let Some(input) = input(board, node, tag) else { return };
    let mut claim = Claim::new(&input, SIGNAL).named(Some(tag.name));
    claim.required = tag.required;
    if let Some(inside) = tag.inside {
        match limits(inside) {
            Some(Limits::Range(range)) => claim.range = range,
            Some(Limits::Options(options)) => {
                if !own_value_is_among(board, node, &input, &options, tag) {
                    return;
                }
                claim.options = options;
            }
            None => return malformed(board, node, tag.text),
        }
    }
    board.claim(node, claim);
}

/// The input that is written, or called like the tag, or the only one that a node of its kind is about.
fn input(board: &mut Board<'_, '_>, node: &Node, tag: &Tag<'_>) -> Option<String> {
    let offered = board.offered(node);
    if let Some(input) =
        tag.input.or_else(|| offered.iter().any(|input| input == tag.name).then_some(tag.name))
    {
        if input != "filename_prefix" && board.of(node).iter().any(|candidate| candidate.input == input) {
            return Some(input.to_owned());
        }
        no_such_input(board, node, tag.text, input, &format!("`@{}=?`", tag.name));
        return None;
    }
    let media: Vec<String> = {
        let own = board.of(node).iter().filter(|candidate| candidate.ty.is_media());
        own.map(|candidate| candidate.input.clone()).filter(|input| offered.contains(input)).collect()
    };
    let plain = |input: &&String| matches!(input.as_str(), "text" | "value" | "prompt" | "string");
    match (offered.as_slice(), media.as_slice()) {
        ([only], _) | (_, [only]) => return Some(only.clone()),
        _ => {}
    }
    if let Some(input) = offered.iter().find(plain) {
        return Some(input.clone());
    }
    if offered.is_empty() {
        no_such_input(board, node, tag.text, tag.name, "");
    } else {
        let choices: Vec<String> =
            offered.iter().take(8).map(|input| format!("`@{}={input}`", tag.name)).collect();
        let message = format!("`{}` does not say which value of this node it means", tag.text);
        let help = format!("write one of {}", choices.join(", "));
        board.report(node, Diagnostic::error("bad-tag", message).help(help));
    }
    None
}

fn own_value_is_among(
    board: &mut Board<'_, '_>,
    node: &Node,
    input: &str,
    options: &[Value],
    tag: &Tag<'_>,
) -> bool {
    let value = board.of(node).iter().find(|candidate| candidate.input == input).map(|own| own.value.clone());
    let Some(value) = value.filter(|value| !options.contains(value)) else { return true };
    let message =
        format!("`{}` leaves out the workflow's own value {}", tag.text, printable(&value.to_json()));
    let help = "a list in a tag is of texts, and one of them is what the node holds";
    board.report(node, Diagnostic::error("bad-tag", message).help(help));
    false
}

enum Limits {
    Range(Range),
    Options(Vec<Value>),
}

/// `4..50`, `4..`, `..50`, or `one|other`.
fn limits(inside: &str) -> Option<Limits> {
    if let Some((min, max)) = inside.split_once("..") {
        let bound = |text: &str| match text.trim() {
            "" => Some(None),
            text => Number::parse(text).map(Some),
        };
        let (min, max) = (bound(min)?, bound(max)?);
        return (min.is_some() || max.is_some()).then_some(Limits::Range(Range { min, max, step: None }));
    }
    let options: Vec<&str> = inside.split('|').map(str::trim).collect();
    let fine = options.len() > 1 && options.iter().all(|option| !option.is_empty());
    fine.then(|| Limits::Options(options.into_iter().map(Value::from).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(title: &str) -> Vec<String> {
        read(title)
            .map(|word| match word {
                Word::Tag(tag) => format!("{} {:?} {:?} {:?}", tag.name, tag.input, tag.inside, tag.required),
                Word::Hide(input) => format!("hide {input:?}"),
                Word::Switch(name, on) => format!("switch {name} {on}"),
                Word::Malformed(word) => format!("malformed {word}"),
            })
            .collect()
    }

    #[test]
    fn tags_are_words_that_begin_with_an_at_sign() {
        assert_eq!(
            shape("KSampler @quality=steps(4..50)!"),
            [r#"quality Some("steps") Some("4..50") Some(true)"#]
        );
        assert_eq!(
            shape("@mood(soft light|hard light) x"),
            [r#"mood None Some("soft light|hard light") None"#]
        );
        assert_eq!(
            shape("@?upscale @?grain=off @?"),
            ["switch upscale true", "switch grain false", "malformed @?"]
        );
        assert_eq!(shape("@- @-cfg"), ["hide None", r#"hide Some("cfg")"#]);
        assert_eq!(shape("@Steps @a(4 @a=!"), ["malformed @Steps", "malformed @a(4 @a=!"]);
        for none in ["Upscale @2x", "me@example.org", "lora @ 0.8", "", "@", "é@x"] {
            assert!(shape(none).is_empty(), "{none}");
        }
        assert_eq!(start("Sampler @a"), Some(8));
    }

    #[test]
    fn limits_are_ranges_or_lists() {
        assert!(matches!(limits("4..50"), Some(Limits::Range(_))));
        assert!(matches!(limits("-1.5.."), Some(Limits::Range(_))));
        assert!(matches!(limits("a|b"), Some(Limits::Options(_))));
        for bad in ["", "..", "4...50", "a", "a||b", "4..x", "4-50"] {
            assert!(limits(bad).is_none(), "{bad}");
        }
    }
}
