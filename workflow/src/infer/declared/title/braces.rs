//! Names in a title: `{name}`, `[in_name]`, `[out_name]`, with a `?` for what may be left out; and titles that are
//! nothing but `PARAM_INT_NAME` or `ARCREEL:name`.

use std::ops::Range;

use crate::{
    diagnostic::Diagnostic,
    endpoint::{ParamType, Tier},
    graph::Node,
    infer::{
        candidate::Candidate,
        declared::{board::Board, placeholder},
        outputs, tiers,
    },
};

const SIGNAL: &str = "a tag in the node's title";
/// Inputs that say what a node is for.
const TELLING: &[&str] = &["text", "value", "prompt", "string"];
/// Words of inputs that say nothing about what is in them.
const EMPTY_WORDS: &[&str] = &["name", "model", "clip"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Any value of the node.
    Value,
    /// The node's main value, which is a file.
    File,
    Result,
}

/// One name and where it stands.
#[derive(Debug)]
pub(in crate::infer::declared) struct Tag {
    span: Range<usize>,
    kind: Kind,
    found: placeholder::Placeholder,
    /// What the tag says about whether files must be given.
    file: Option<bool>,
    /// Whether texts must be given.
    text: bool,
}

impl Tag {
    fn whole(title: &str, found: placeholder::Placeholder) -> Self {
        Self { span: 0..title.len(), kind: Kind::Value, found, file: None, text: false }
    }

    /// The tag as written.
    fn of<'t>(&self, title: &'t str) -> &'t str {
        &title[self.span.clone()]
    }
}

/// Every tag, in the order of the title.
pub(in crate::infer::declared) fn read(title: &str) -> Vec<Tag> {
    if let Some(found) = placeholder::parameter(title) {
        return vec![Tag::whole(title, found)];
    }
    if let Some(key) = title.strip_prefix("ARCREEL:").map(str::trim).filter(|key| is_word(key)) {
        return vec![Tag::whole(title, named(key))];
    }
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(found) = title[at..].find(['{', '[']) {
        let start = at + found;
        at = start + 1;
        if let Some(tag) = at_bracket(title, start) {
            at = tag.span.end;
            tags.push(tag);
        }
    }
    tags
}

fn at_bracket(title: &str, start: usize) -> Option<Tag> {
    let rest = &title[start..];
    let inside = &rest[1..];
    let length = inside.find(|one: char| !one.is_ascii_alphanumeric() && !"_-:?".contains(one))?;
    let (body, end) = (&inside[..length], &inside[length..]);
    let whole = start == 0 && end.len() == 1;
    let (body, optional) = body.strip_suffix('?').map_or((body, false), |body| (body, true));
    let (kind, name) = if rest.starts_with('{') {
        // `{{x}}` and `${x}` are placeholders of texts.
        let longer = title[..start].ends_with(['{', '$']) || end.starts_with("}}");
        if longer || !end.starts_with('}') {
            return None;
        }
        (Kind::Value, body)
    } else if !end.starts_with(']') {
        return None;
    } else if let Some(name) = body.strip_prefix("in_") {
        (Kind::File, name)
    } else {
        let name = body.strip_prefix("out")?;
        (Kind::Result, if name.is_empty() { name } else { name.strip_prefix(['_', ':'])? })
    };
    let fine = is_word(name) || (kind == Kind::Result && body == "out");
    fine.then(|| Tag {
        span: start..start + 1 + length + 1,
        kind,
        found: named(name),
        file: Some(!optional),
        text: whole && !optional,
    })
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn named(name: &str) -> placeholder::Placeholder {
    placeholder::Placeholder { name: name.to_owned(), default: None, ty: None }
}

/// The first part of a title that is outside its tags.
pub(super) fn outside(title: &str) -> Option<&str> {
    let mut at = 0;
    for tag in read(title) {
        let part = title[at..tag.span.start].trim();
        if !part.is_empty() {
            return Some(part);
        }
        at = tag.span.end;
    }
    Some(title[at..].trim()).filter(|part| !part.is_empty())
}

/// The name of what an output node yields.
pub(in crate::infer::declared) fn result(node: &Node, title: &str) -> Option<String> {
    let tags = read(title);
    let says = |tag: &&Tag| match tag.kind {
        Kind::Result => !tag.found.name.is_empty(),
        Kind::Value => by_name(&tag.found.name, literals(node)).is_none(),
        Kind::File => false,
    };
    let marked = tags.iter().filter(|tag| tag.kind == Kind::Result).find(says);
    marked.or_else(|| tags.iter().find(says)).map(|tag| tag.found.name.clone())
}

fn literals(node: &Node) -> impl Iterator<Item = &str> + Clone {
    node.inputs.keys().map(String::as_str).filter(|input| node.literal(input).is_some())
}

pub(super) fn declare(board: &mut Board<'_, '_>, node: &Node, title: &str) -> bool {
    let tags = read(title);
    let mut open = if tags.is_empty() { Vec::new() } else { board.offered(node) };
    let is_output = outputs::is_output(node, board.context);
    for tag in tags.iter().filter(|tag| tag.kind != Kind::Result) {
        let Some(input) = choose(board, node, tag, &open, is_output) else {
            if !is_output || tag.kind == Kind::File {
                unclaimed(board, node, tag.of(title), &tag.found.name, &open);
            }
            continue;
        };
        open.retain(|other| *other != input);
        let own = board.of(node).iter().find(|own| own.input == input);
        let (file, text) = own.map_or((false, false), |own| (own.ty.is_media(), own.is_free_text()));
        let found = placeholder::Placeholder { ty: tag.found.ty, ..named(&tag.found.name) };
        let mut claim = placeholder::claimed(found, &input, SIGNAL);
        claim.required = if file { tag.file } else { (tag.text && text).then_some(true) };
        board.claim(node, claim);
    }
    !tags.is_empty()
}

/// The value that a tag means, of those that are left.
fn choose(
    board: &mut Board<'_, '_>,
    node: &Node,
    tag: &Tag,
    open: &[String],
    is_output: bool,
) -> Option<String> {
    let name = &tag.found.name;
    if tag.kind == Kind::Value {
        let own = board.of(node).iter().map(|own| own.input.as_str());
        if let Some(same) = own.clone().find(|input| input.eq_ignore_ascii_case(name)).map(str::to_owned) {
            return Some(same).filter(|same| open.contains(same));
        }
        if let Some(input) = by_name(name, open.iter().map(String::as_str)) {
            return Some(input.to_owned());
        }
    }
    if is_output {
        return None;
    }
    // Under the name of a text there is no sense in a number.
    let wants_text = matches!(words(name).next_back(), Some("prompt" | "text"));
    let values = board.of(node);
    if !wants_text && let Some(file) = values.iter().find(|one| one.ty.is_media() && one.tier != Tier::Hidden)
    {
        return Some(file.input.clone());
    }
    let own: Vec<&Candidate> = values.iter().filter(|own| open.contains(&own.input)).collect();
    let first = |fits: &dyn Fn(&Candidate) -> bool| {
        own.iter().find(|one| fits(one) && (!wants_text || one.value.as_str().is_some()))
    };
    let telling = |one: &Candidate| TELLING.contains(&one.input.as_str());
    if tag.kind == Kind::File {
        // Only what says nothing else can be the place of a file that is not known to be one.
        let only = if own.len() == 1 { first(&|one| one.ty == ParamType::String) } else { None };
        return first(&telling).or(only).map(|one| one.input.clone());
    }
    let by_word = || words(name).rev().skip(1).find_map(|word| first(&|one| has_word(&one.input, word)));
    let chosen = first(&telling)
        .or_else(|| first(&Candidate::is_free_text))
        .or_else(by_word)
        .or_else(|| first(&|one| one.tier == Tier::Model))
        .or_else(|| if own.len() == 1 { first(&|_| true) } else { None });
    chosen.map(|one| one.input.clone())
}

/// The input whose name is the tag's, or shares its last word, which says what kind of thing it is: `style_lora` is
/// `lora_name`.
fn by_name<'i>(name: &str, inputs: impl Iterator<Item = &'i str> + Clone) -> Option<&'i str> {
    if let Some(same) = inputs.clone().find(|input| input.eq_ignore_ascii_case(name)) {
        return Some(same);
    }
    let last = words(name).next_back()?;
    let shared = |input: &str| words(name).filter(|word| has_word(input, word)).count();
    // Of equals, `max_by_key` takes the last one.
    let best = inputs.filter(|input| has_word(input, last)).map(|input| (shared(input), input));
    best.reduce(|best, other| if other.0 > best.0 { other } else { best }).map(|(_, input)| input)
}

fn words(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    name.split(['_', '-']).filter(|word| !word.is_empty())
}

fn has_word(input: &str, word: &str) -> bool {
    !EMPTY_WORDS.contains(&word) && words(input).any(|own| own.eq_ignore_ascii_case(word))
}

/// Reports a tag without a value, unless another node carries the same one and has the value: it is often repeated on
/// the nodes that the value goes through.
fn unclaimed(board: &mut Board<'_, '_>, node: &Node, tag: &str, name: &str, open: &[String]) {
    let context = board.context;
    let own = board.of(node).iter().find(|own| own.input.eq_ignore_ascii_case(name));
    let hidden = own.and_then(|own| tiers::hidden(context, node, own));
    let (message, help) = if let Some(reason) = hidden {
        (
            format!("`{tag}` names a value that callers cannot set: {reason}"),
            "remove the tag, and set the value in the workflow".to_owned(),
        )
    } else if open.is_empty() {
        (
            format!("`{tag}` marks this node, which has no value that callers could set"),
            "mark the node that holds the value, or remove the tag".to_owned(),
        )
    } else {
        let choices: Vec<String> = open.iter().take(8).map(|input| format!("`@{name}={input}`")).collect();
        (
            format!("`{tag}` does not say which value of this node it means"),
            format!("in place of the tags of this title, write one of {}", choices.join(", ")),
        )
    };
    board.report_unless_declared(node, name, Diagnostic::warning("bad-tag", message).help(help));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(title: &str) -> Vec<(&str, Kind, String, Option<bool>, bool)> {
        let all = read(title).into_iter();
        all.map(|tag| (tag.of(title), tag.kind, tag.found.name.clone(), tag.file, tag.text)).collect()
    }

    #[test]
    fn tags_stand_anywhere() {
        let name = |name: &str| name.to_owned();
        assert_eq!(tags("{style}"), [("{style}", Kind::Value, name("style"), Some(true), true)]);
        assert_eq!(tags("Style {style}"), [("{style}", Kind::Value, name("style"), Some(true), false)]);
        assert_eq!(tags("Anchor [in_a?]"), [("[in_a?]", Kind::File, name("a"), Some(false), false)]);
        assert_eq!(tags("Save [out]"), [("[out]", Kind::Result, name(""), Some(true), false)]);
        assert_eq!(tags("[out:b] [out_c]").into_iter().map(|tag| tag.2).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(tags("é{ {a}{b?}{").len(), 2);
        assert_eq!(read("PARAM_INT_STEPS")[0].found.name, "steps");
        assert_eq!(read("ARCREEL:seed")[0].found.name, "seed");
    }

    #[test]
    fn brackets_in_prose_are_no_tags() {
        for prose in [
            "Load Image [v2]",
            "{a|b}",
            "{{a}}",
            "${a}",
            "Combine {2}",
            "{}",
            "{a b}",
            "{a:b}",
            "[in_]",
            "[in]",
            "[INPUT GEN] Split",
            "[output]",
            "[out_]",
            "[outline]",
            "{a]",
            "[in_a}",
            "{a",
            "{提示}",
            "x PARAM_INT_STEPS",
        ] {
            assert!(read(prose).is_empty(), "{prose}");
        }
    }

    #[test]
    fn what_is_outside_is_the_title() {
        assert_eq!(outside("Divider {frames}"), Some("Divider"));
        assert_eq!(outside("{a} {b} Sampler"), Some("Sampler"));
        assert_eq!(outside("[out]"), None);
        assert_eq!(outside("Load [v2]"), Some("Load [v2]"));
    }

    #[test]
    fn names_find_inputs() {
        let lora = ["lora_name", "strength_model", "strength_clip"];
        for (name, inputs, expected) in [
            ("style_lora", &lora[..], Some("lora_name")),
            ("lora_strength", &lora, Some("strength_model")),
            ("style_model", &lora, None),
            ("pose_style_weight", &["weight_composition", "weight_style"], Some("weight_style")),
            ("Steps", &["seed", "steps"], Some("steps")),
            ("prompt", &["crop_w"], None),
        ] {
            assert_eq!(by_name(name, inputs.iter().copied()), expected, "{name}");
        }
    }
}
