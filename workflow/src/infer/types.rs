//! What type a literal has, with and without its class's definition.

use super::{Context, candidate::Candidate};
use crate::{
    catalog::{InputDef, InputKind},
    endpoint::{ParamType, Tier},
    graph::Node,
    json::{Number, Value},
};

/// Words of inputs that are floats even where the literal has no fraction.
const FLOAT_WORDS: &[&str] = &[
    "cfg",
    "denoise",
    "strength",
    "weight",
    "scale",
    "guidance",
    "percent",
    "ratio",
    "factor",
    "alpha",
    "sigma",
    "threshold",
    "shift",
    "gamma",
    "eta",
    "noise_aug",
    "megapixels",
    "opacity",
    "fps",
    "frame_rate",
    "temperature",
    "top_p",
    "multiplier",
    "self_temporal",
    "cross_temporal",
    "structural",
    "intensity",
    "brightness",
    "contrast",
    "saturation",
    "seconds",
    "duration",
    "penalty",
];
/// Words that overrule the above.
const INTEGER_WORDS: &[&str] =
    &["upscale_by_steps", "steps", "width", "height", "count", "index", "size", "length"];

pub(super) fn candidate(context: &Context<'_>, node: &Node, input: &str, value: &Value) -> Candidate {
    let mut candidate = Candidate {
        node: node.id.clone(),
        input: input.to_owned(),
        class_type: node.class_type.clone(),
        value: value.clone(),
        ty: ParamType::String,
        tier: Tier::Advanced,
        role: None,
        declared: None,
        settled: false,
        own_options: false,
        description: None,
        suggested: None,
        required: false,
        insisted: None,
        default: Some(value.clone()),
        min: None,
        max: None,
        step: None,
        options: Vec::new(),
        open: false,
        multiline: false,
        idle: false,
        encoding: None,
        folder: None,
        signal: "a value of the workflow".to_owned(),
    };
    match context.input(node, input) {
        Some(definition) => from_definition(&mut candidate, node, definition),
        None => from_literal(&mut candidate, node),
    }
    from_consumers(context, node, &mut candidate);
    if is_seed(&candidate, context.input(node, input)) && !counts_something(context, node, input) {
        seed(&mut candidate);
    }
    candidate
}

/// A node that holds a value and nothing else takes any number: what it feeds says which make sense.
fn from_consumers(context: &Context<'_>, node: &Node, candidate: &mut Candidate) {
    const LARGE: f64 = 1e9;
    let numeric = matches!(candidate.ty, ParamType::Integer | ParamType::Number);
    let open = |bound: &Option<Number>| bound.as_ref().is_none_or(|bound| bound.as_f64().abs() >= LARGE);
    let holds_one = node.links().next().is_none() && node.literals().count() <= 2;
    if !numeric || !holds_one || !open(&candidate.min) || !open(&candidate.max) {
        return;
    }
    if node.class_type.to_lowercase().contains("float") {
        number(candidate);
    }
    let fed = context.fed_by(&node.id);
    let inputs: Option<Vec<&InputDef>> =
        fed.iter().map(|consumer| context.input(consumer.node, consumer.input)).collect();
    if let Some(inputs) = inputs.filter(|inputs| !inputs.is_empty()) {
        if !inputs.iter().all(|input| matches!(input.kind, InputKind::Int | InputKind::Float)) {
            return;
        }
        let order = |one: &&Number, other: &&Number| one.as_f64().total_cmp(&other.as_f64());
        candidate.min = inputs.iter().filter_map(|input| input.min.as_ref()).max_by(order).cloned();
        candidate.max = inputs.iter().filter_map(|input| input.max.as_ref()).min_by(order).cloned();
        candidate.step = inputs.iter().filter_map(|input| input.step.as_ref()).max_by(order).cloned();
        keep_sample_in_range(candidate);
        return;
    }
    let mut names = fed.iter().map(|consumer| consumer.input.to_lowercase());
    if let Some(name) = names.next().filter(|name| names.all(|other| other == *name)) {
        range_by_name(candidate, &name);
    }
}

fn from_definition(candidate: &mut Candidate, node: &Node, definition: &InputDef) {
    candidate.multiline = definition.multiline;
    candidate.min.clone_from(&definition.min);
    candidate.max.clone_from(&definition.max);
    candidate.step.clone_from(&definition.step);
    match &definition.kind {
        InputKind::Int => integer(candidate),
        InputKind::Float => number(candidate),
        InputKind::Text => text(candidate),
        InputKind::Boolean => boolean(candidate),
        InputKind::Combo => combo(candidate, node, definition),
        InputKind::Socket(types) if types.iter().any(|ty| ty == "INT") => integer(candidate),
        InputKind::Socket(types) if types.iter().any(|ty| ty == "FLOAT") => number(candidate),
        InputKind::Socket(_) => from_literal(candidate, node),
    }
    keep_sample_in_range(candidate);
}

/// An export whose own value is out of range was made for another version of the node: the value counts.
fn keep_sample_in_range(candidate: &mut Candidate) {
    let Some(value) = candidate.default.as_ref().and_then(Value::as_f64) else { return };
    if candidate.min.as_ref().is_some_and(|min| value < min.as_f64()) {
        candidate.min = None;
    }
    if candidate.max.as_ref().is_some_and(|max| value > max.as_f64()) {
        candidate.max = None;
    }
}

fn from_literal(candidate: &mut Candidate, node: &Node) {
    let name = candidate.input.to_lowercase();
    match &candidate.value {
        Value::Bool(_) => boolean(candidate),
        Value::Number(literal) if !literal.is_integer() || is_float_name(&name) || is_share(node, &name) => {
            candidate.ty = ParamType::Number;
            range_by_name(candidate, &name);
        }
        Value::Number(_) => {
            candidate.ty = ParamType::Integer;
            range_by_name(candidate, &name);
        }
        _ => candidate.multiline = true,
    }
    if matches!(name.as_str(), "sampler_name" | "scheduler" | "sampler") && candidate.value.as_str().is_some()
    {
        candidate.open = true;
        candidate.options = vec![candidate.value.clone()];
    }
}

fn is_float_name(name: &str) -> bool {
    FLOAT_WORDS.iter().any(|word| name.contains(word))
        && !INTEGER_WORDS.iter().any(|word| name.contains(word))
}

/// Ends of a range of time steps are shares of it, and so are two ends of which neither is beyond 1.
fn is_share(node: &Node, name: &str) -> bool {
    if matches!(name, "start" | "end") {
        return node.class_type.to_lowercase().contains("timestep");
    }
    let other = match (name.strip_suffix("_start"), name.strip_suffix("_end")) {
        (Some(of), _) => format!("{of}_end"),
        (_, Some(of)) => format!("{of}_start"),
        _ => return false,
    };
    let within = |input: &str| {
        let value = node.literals().find(|(own, _)| own.eq_ignore_ascii_case(input))?.1.as_number()?.as_f64();
        Some((0.0..=1.0).contains(&value))
    };
    within(name) == Some(true) && within(&other) == Some(true)
}

fn range_by_name(candidate: &mut Candidate, name: &str) {
    let (min, max) = match name {
        "steps" => ("1", "10000"),
        "cfg" => ("0.0", "100.0"),
        "denoise" => ("0.0", "1.0"),
        "width" | "height" => ("16", "16384"),
        "batch_size" => ("1", "4096"),
        _ if name.ends_with("percent") => ("0.0", "1.0"),
        _ => return,
    };
    candidate.min = Number::parse(min);
    candidate.max = Number::parse(max);
    keep_sample_in_range(candidate);
}

/// ComfyUI reads `"20"` as 20 where it wants a number.
fn literal_number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()).filter(Number::is_finite),
        Value::String(text) => Number::parse(text),
        Value::Bool(value) => Some(Number::from_i128(i128::from(*value))),
        _ => None,
    }
}

fn integer(candidate: &mut Candidate) {
    candidate.ty = ParamType::Integer;
    #[expect(clippy::cast_possible_truncation, reason = "ComfyUI truncates in the same way")]
    let whole = |number: Number| number.as_i128().unwrap_or_else(|| number.as_f64() as i128);
    candidate.default =
        literal_number(&candidate.value).map(|number| Value::Number(Number::from_i128(whole(number))));
}

fn number(candidate: &mut Candidate) {
    candidate.ty = ParamType::Number;
    candidate.default = literal_number(&candidate.value).map(Value::Number);
}

fn text(candidate: &mut Candidate) {
    candidate.ty = ParamType::String;
    if candidate.value.as_str().is_none() {
        let plain = literal_number(&candidate.value).map(|number| Value::String(number.as_str().to_owned()));
        candidate.default = plain.or_else(|| Some(Value::from("")));
    }
}

fn boolean(candidate: &mut Candidate) {
    candidate.ty = ParamType::Boolean;
    candidate.default = match &candidate.value {
        Value::Bool(value) => Some(Value::Bool(*value)),
        Value::Number(number) => Some(Value::Bool(number.as_f64() != 0.0)),
        Value::String(text) => Some(Value::Bool(!text.is_empty())),
        _ => None,
    };
}

/// Gives a candidate the type that its author says it has; its default is read anew.
pub(super) fn retype(candidate: &mut Candidate, ty: ParamType) {
    if candidate.role == Some("seed") && ty != ParamType::Seed {
        candidate.role = None;
    }
    candidate.default = Some(candidate.value.clone());
    candidate.required = false;
    candidate.open = false;
    candidate.options.clear();
    match ty {
        ParamType::Integer => integer(candidate),
        ParamType::Number => number(candidate),
        ParamType::Boolean => boolean(candidate),
        ParamType::Seed => seed(candidate),
        ParamType::String | ParamType::Enum => text(candidate),
        _ => {
            candidate.required = true;
            candidate.default = None;
            candidate.encoding = candidate.encoding.or(Some("upload_name"));
        }
    }
    candidate.ty = ty;
}

/// Options are closed only where they are the same on every machine and the workflow keeps to them.
fn combo(candidate: &mut Candidate, node: &Node, definition: &InputDef) {
    candidate.ty = ParamType::String;
    if definition.listing.is_some() || definition.multiselect {
        candidate.open = true;
        return;
    }
    candidate.options.clone_from(&definition.options);
    let numbers = definition.options.iter().all(|option| option.as_number().is_some());
    let texts = definition.options.iter().all(|option| option.as_str().is_some());
    if definition.options.contains(&candidate.value) && (numbers || texts) {
        candidate.ty = ParamType::Enum;
        return;
    }
    candidate.open = true;
    if candidate.value.as_str().is_none() {
        from_literal(candidate, node);
    }
}

fn is_seed(candidate: &Candidate, definition: Option<&InputDef>) -> bool {
    let numeric = matches!(candidate.ty, ParamType::Integer)
        || (definition.is_none() && candidate.value.as_str().is_some_and(|text| text.parse::<u64>().is_ok()));
    let name = candidate.input.to_lowercase();
    let named = name == "seed" || name == "noise_seed" || name.ends_with("_seed") || name == "rand_seed";
    let controlled = definition.is_some_and(|definition| definition.control_after_generate == Some(true))
        && candidate.max.as_ref().is_none_or(|max| max.as_f64() > 1e9);
    numeric && (named || controlled)
}

/// A node that holds any number can be stepped after each run as a seed can: what it feeds tells which it is.
fn counts_something(context: &Context<'_>, node: &Node, input: &str) -> bool {
    let mut fed = context.fed_by(&node.id).iter().map(|consumer| consumer.input.to_lowercase()).peekable();
    input == "value" && fed.peek().is_some() && !fed.any(|input| input.contains("seed"))
}

fn seed(candidate: &mut Candidate) {
    candidate.ty = ParamType::Seed;
    candidate.role = Some("seed");
    let greatest = candidate.max.as_ref().and_then(Number::as_u64).unwrap_or(u64::MAX);
    candidate.min = Some(Number::from_i128(0));
    candidate.max = Some(Number::from_i128(i128::from(greatest)));
    candidate.step = None;
    // Left out, a seed is drawn.
    candidate.default = None;
}
