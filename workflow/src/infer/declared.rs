//! What authors declare inside the graph: parameter nodes, title tags and placeholders.

use super::{Context, candidate::Candidate, names::slug};
use crate::{
    endpoint::{ParamType, Tier},
    graph::Node,
    json::{Number, Value},
};

/// Prefixes of classes whose nodes are parameters.
const PARAMETER_NODES: &[&str] =
    &["ComfyUIDeployExternal", "BlenderInput", "SwarmInput", "ETN_Parameter", "CPackInput", "ServingInput"];

/// Inputs of parameter nodes that carry the value, most telling first.
const VALUE_INPUTS: &[&str] = &[
    "default_value",
    "value",
    "default",
    "text",
    "string",
    "image",
    "default_value_url",
    "number",
    "boolean",
    "seed",
];

pub(super) fn mark(context: &Context<'_>, candidates: &mut [Candidate]) {
    for node in context.graph.nodes.values() {
        if is_parameter_node(&node.class_type) {
            parameter_node(node, candidates);
        } else if let Some(tag) = node.title.as_deref().and_then(title_tag) {
            tagged_title(context, node, &tag, candidates);
        }
    }
    for candidate in candidates.iter_mut() {
        placeholder(candidate);
    }
}

fn is_parameter_node(class_type: &str) -> bool {
    PARAMETER_NODES.iter().any(|prefix| class_type.starts_with(prefix))
        || class_type.ends_with("RequestParameter")
}

/// One parameter, named by the author; everything else about the node is settings of the editor.
fn parameter_node(node: &Node, candidates: &mut [Candidate]) {
    let text =
        |input: &str| node.literal(input).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let name = ["input_id", "name", "param_name", "argument", "title"].iter().find_map(|input| text(input));
    let name = name.or(node.title.as_deref()).and_then(slug);
    let value = VALUE_INPUTS.iter().find(|input| node.literal(input).is_some());
    let (min, max) = (bound(node, &["min_value", "min"]), bound(node, &["max_value", "max"]));
    for candidate in candidates.iter_mut().filter(|candidate| candidate.node == node.id) {
        if Some(&candidate.input.as_str()) != value {
            candidate.put(Tier::Hidden, "a setting of a parameter node");
            continue;
        }
        candidate.put(Tier::Primary, "a parameter node");
        candidate.declared.clone_from(&name);
        candidate.min = min.clone().or_else(|| candidate.min.take());
        candidate.max = max.clone().or_else(|| candidate.max.take());
        if candidate.class_type.contains("Image") && candidate.ty == ParamType::String {
            candidate.ty = ParamType::Image;
            candidate.encoding = Some("url");
            candidate.required = true;
            candidate.default = None;
        }
    }
}

fn bound(node: &Node, inputs: &[&str]) -> Option<Number> {
    let number = inputs.iter().find_map(|input| node.literal(input)?.as_number().cloned())?;
    number.is_finite().then_some(number)
}

struct Tag {
    name: String,
    optional: bool,
}

/// `{name}`, `{name?}`, `[in_name]`, `$name`, `@name`.
fn title_tag(title: &str) -> Option<Tag> {
    let title = title.trim();
    let inner = if let Some(inner) = title.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        inner
    } else if let Some(inner) = title.strip_prefix("[in_").and_then(|rest| rest.strip_suffix(']')) {
        inner
    } else {
        title.strip_prefix('$').or_else(|| title.strip_prefix('@'))?
    };
    let name = inner.trim_end_matches('?');
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    (plain && !name.is_empty())
        .then(|| slug(name))
        .flatten()
        .map(|name| Tag { name, optional: inner.ends_with('?') })
}

/// A tagged node with one literal is that parameter; with several, the one that says most about it.
fn tagged_title(context: &Context<'_>, node: &Node, tag: &Tag, candidates: &mut [Candidate]) {
    let telling = |candidate: &Candidate| {
        let media = candidate.ty.is_media();
        let place = ["text", "value", "prompt", "string", "seed", "image"]
            .iter()
            .position(|name| *name == candidate.input);
        (!media, place.unwrap_or(usize::MAX), context.rank(&candidate.node))
    };
    let own = candidates
        .iter_mut()
        .filter(|candidate| candidate.node == node.id && candidate.tier != Tier::Hidden)
        .min_by_key(|candidate| telling(candidate));
    let Some(candidate) = own else { return };
    candidate.declared = Some(tag.name.clone());
    candidate.required = !tag.optional && (candidate.ty.is_media() || candidate.ty == ParamType::String);
    if candidate.required {
        candidate.default = None;
    }
    candidate.put(Tier::Primary, "a tag in the node's title");
}

/// A value that is nothing but `{{x}}`, `%x%`, `${x:default}`, `PARAM_INT_X` or `__X__` stands for a parameter.
fn placeholder(candidate: &mut Candidate) {
    let Some(text) = candidate.value.as_str().map(str::trim) else { return };
    let Some((name, default, ty)) = parse_placeholder(text) else { return };
    let Some(name) = slug(&name) else { return };
    candidate.declared = Some(name);
    if let Some(ty) = ty.or_else(|| by_input_name(&candidate.input))
        && candidate.ty == ParamType::String
        && !candidate.open
    {
        candidate.ty = ty;
    }
    candidate.default = default.as_deref().and_then(|text| typed(candidate.ty, text));
    candidate.required = candidate.default.is_none() && candidate.ty != ParamType::Seed;
    candidate.role = if candidate.ty == ParamType::Seed { Some("seed") } else { candidate.role };
    candidate.put(Tier::Primary, "a placeholder in the workflow");
}

type Placeholder = (String, Option<String>, Option<ParamType>);

fn parse_placeholder(text: &str) -> Option<Placeholder> {
    let word = |text: &str| {
        let fine = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte == b'.');
        (fine && !text.is_empty()).then(|| text.to_owned())
    };
    let between = |open: &str, close: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(inner) = between("{{", "}}") {
        return Some((word(inner.trim())?, None, None));
    }
    if let Some(inner) = between("${", "}") {
        let (name, default) =
            inner.split_once(':').map_or((inner, None), |(name, rest)| (name, Some(rest.to_owned())));
        return Some((word(name)?, default, None));
    }
    if let Some(inner) = between("%", "%") {
        return Some((word(inner)?, None, None));
    }
    if let Some(inner) = between("__", "__") {
        let upper =
            inner.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        return if upper { Some((word(inner)?.to_lowercase(), None, None)) } else { None };
    }
    let rest = text.strip_prefix("PARAM_")?;
    let types = [
        ("INT_", ParamType::Integer),
        ("FLOAT_", ParamType::Number),
        ("BOOL_", ParamType::Boolean),
        ("STRING_", ParamType::String),
        ("STR_", ParamType::String),
        ("TEXT_", ParamType::String),
    ];
    let typed = types.iter().find_map(|(prefix, ty)| Some((rest.strip_prefix(prefix)?, *ty)));
    let (name, ty) = typed.map_or((rest, None), |(name, ty)| (name, Some(ty)));
    Some((word(name)?.to_lowercase(), None, ty))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_whole_values() {
        let name = |text| parse_placeholder(text).map(|(name, _, _)| name);
        assert_eq!(name("{{prompt}}").as_deref(), Some("prompt"));
        assert_eq!(name("%width%").as_deref(), Some("width"));
        assert_eq!(name("__PROMPT__").as_deref(), Some("prompt"));
        assert_eq!(parse_placeholder("${steps:20}").unwrap().1.as_deref(), Some("20"));
        assert_eq!(
            parse_placeholder("PARAM_INT_STEPS").unwrap(),
            ("steps".into(), None, Some(ParamType::Integer))
        );
        assert_eq!(name("a {{b}} c"), None);
        assert_eq!(name("__init__"), None);
    }

    #[test]
    fn titles_carry_tags() {
        assert_eq!(title_tag("{style}").unwrap().name, "style");
        assert!(title_tag("{style?}").unwrap().optional);
        assert_eq!(title_tag("[in_photo]").unwrap().name, "photo");
        assert!(title_tag("Load {x} now").is_none());
    }
}
