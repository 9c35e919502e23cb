//! Values that stand for a parameter: `{{x}}`, `%x%`, `${x:default}`, `[in_x]`, `PARAM_INT_X`, `__X__`.

use super::{claim::Claim, name};
use crate::{
    diagnostic::{Diagnostic, printable},
    endpoint::{ParamType, Tier},
    graph::Node,
    infer::{Context, candidate::Candidate},
    json::{Number, Value},
};

pub(super) fn declare(
    context: &Context<'_>,
    candidates: &mut [Candidate],
    diagnostics: &mut Vec<Diagnostic>,
) {
    for candidate in candidates.iter_mut().filter(|candidate| !candidate.settled) {
        // ComfyUI itself fills in `%date%` and its like in the names of files.
        if candidate.input == "filename_prefix" {
            continue;
        }
        let Some(text) = candidate.value.as_str().map(str::trim).filter(|text| !text.is_empty()) else {
            continue;
        };
        let Some(node) = context.graph.node(&candidate.node) else { continue };
        match parse(text) {
            Some(found) => claim(candidate, found, node, diagnostics),
            None => diagnostics.extend(
                unread(text)
                    .map(|found| found.at_node(&node.id, node.title.as_deref()).at_input(&candidate.input)),
            ),
        }
    }
}

fn claim(candidate: &mut Candidate, found: Placeholder, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let Some(name) = name::read(&found.name, node, diagnostics) else { return };
    candidate.declared = Some(name);
    candidate.settled = true;
    if let Some(ty) = found.ty.or_else(|| by_input_name(&candidate.input))
        && candidate.ty == ParamType::String
        && !candidate.open
    {
        candidate.ty = ty;
    }
    candidate.default = found.default.as_deref().and_then(|text| typed(candidate.ty, text));
    candidate.required = candidate.default.is_none() && candidate.ty != ParamType::Seed;
    candidate.insisted = candidate.required.then_some(true);
    candidate.role = if candidate.ty == ParamType::Seed { Some("seed") } else { candidate.role };
    candidate.put(Tier::Primary, "a placeholder in the workflow");
}

/// What a text that is nothing but a placeholder says.
#[derive(Debug, PartialEq)]
pub(super) struct Placeholder {
    pub(super) name: String,
    pub(super) default: Option<String>,
    pub(super) ty: Option<ParamType>,
}

pub(super) fn parse(text: &str) -> Option<Placeholder> {
    let plain = |name: &str| word(name).map(|name| Placeholder { name, default: None, ty: None });
    let between = |open: &str, close: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(inner) = between("{{", "}}") {
        return plain(inner.trim());
    }
    if let Some(inner) = between("${", "}") {
        let (name, default) =
            inner.split_once(':').map_or((inner, None), |(name, rest)| (name, Some(rest.to_owned())));
        return Some(Placeholder { name: word(name)?, default, ty: None });
    }
    if let Some(inner) = between("%", "%") {
        return plain(inner);
    }
    if let Some(inner) = between("[in_", "]") {
        return plain(inner);
    }
    if let Some(inner) = between("__", "__") {
        let upper =
            inner.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        return plain(&inner.to_lowercase()).filter(|_| upper);
    }
    parameter(text)
}

/// `PARAM_INT_STEPS`: the type in capitals, then the name.
pub(super) fn parameter(text: &str) -> Option<Placeholder> {
    const TYPES: &[(&str, ParamType)] = &[
        ("INT_", ParamType::Integer),
        ("FLOAT_", ParamType::Number),
        ("BOOL_", ParamType::Boolean),
        ("STRING_", ParamType::String),
        ("STR_", ParamType::String),
        ("TEXT_", ParamType::String),
    ];
    let rest = text.strip_prefix("PARAM_")?;
    let typed = TYPES.iter().find_map(|(prefix, ty)| Some((rest.strip_prefix(prefix)?, *ty)));
    let (name, ty) = typed.map_or((rest, None), |(name, ty)| (name, Some(ty)));
    Some(Placeholder { name: word(name)?.to_lowercase(), default: None, ty })
}

fn word(text: &str) -> Option<String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (!text.is_empty() && text.bytes().all(fine)).then(|| text.to_owned())
}

/// A placeholder that means nothing here, though its author surely meant something.
fn unread(text: &str) -> Option<Diagnostic> {
    let inside = |rest: &str| rest.find("}}").map(|end| rest[..end].trim().to_owned());
    let start = text.find("{{")?;
    let inner = inside(&text[start + 2..])?;
    if word(&inner).is_some() {
        let message = format!("`{{{{{inner}}}}}` stands inside a longer text, so it is not a parameter");
        return Some(Diagnostic::warning("bad-placeholder", message).help(
            "only a value that is nothing but a placeholder is one: make the whole text the parameter, or join texts \
             with a node",
        ));
    }
    let whole = start == 0 && text.ends_with("}}");
    whole.then(|| {
        let message = format!("`{}` is not a placeholder", printable(text));
        Diagnostic::warning("bad-placeholder", message)
            .help("write {{name}}, with letters, digits, `_`, `-` and `.` in the name")
    })
}

/// The literal is a placeholder and says nothing about the type, so the input's name must.
fn by_input_name(input: &str) -> Option<ParamType> {
    match input.to_lowercase().as_str() {
        "seed" | "noise_seed" => Some(ParamType::Seed),
        "steps" | "width" | "height" | "length" | "batch_size" | "num_frames" => Some(ParamType::Integer),
        "cfg" | "denoise" | "guidance" | "fps" | "strength" | "strength_model" | "strength_clip" => {
            Some(ParamType::Number)
        }
        _ => None,
    }
}

fn typed(ty: ParamType, text: &str) -> Option<Value> {
    match ty {
        ParamType::Integer | ParamType::Number => Number::parse(text).map(Value::Number),
        ParamType::Boolean => text.parse().ok().map(Value::Bool),
        ParamType::Seed => None,
        _ => Some(Value::from(text)),
    }
}

/// A claim on a value whose title is such a placeholder.
pub(super) fn claimed(found: Placeholder, input: &str, signal: &'static str) -> Claim {
    let claim = Claim::new(input, signal).named(Some(found.name));
    match found.ty {
        Some(ty) => claim.typed(ty),
        None => claim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_whole_values() {
        let name = |text| parse(text).map(|found| found.name);
        assert_eq!(name("{{prompt}}").as_deref(), Some("prompt"));
        assert_eq!(name("%width%").as_deref(), Some("width"));
        assert_eq!(name("__PROMPT__").as_deref(), Some("prompt"));
        assert_eq!(name("[in_photo]").as_deref(), Some("photo"));
        assert_eq!(parse("${steps:20}").unwrap().default.as_deref(), Some("20"));
        let typed = parse("PARAM_INT_STEPS").unwrap();
        assert_eq!((typed.name.as_str(), typed.ty), ("steps", Some(ParamType::Integer)));
        assert_eq!(name("a {{b}} c"), None);
        assert_eq!(name("__init__"), None);
    }

    #[test]
    fn what_looks_like_one_is_reported() {
        assert_eq!(unread("a {{b}} c").unwrap().code, "bad-placeholder");
        assert_eq!(unread("{{ no name }}").unwrap().code, "bad-placeholder");
        assert!(unread("{red|{blue|green}}").is_none());
        assert!(unread("a cat").is_none());
        assert!(unread("{{é").is_none());
    }
}
