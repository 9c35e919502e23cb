//! Reading `object_info` in all its shapes.

use std::collections::BTreeMap;

use super::{Catalog, Dynamic, InputDef, InputKind, NodeDef, OutputDef, Upload, model_folders};
use crate::{
    diagnostic::Diagnostic,
    json::{Number, Object, Value},
};

/// `None` if the value is not an object at all.
pub(super) fn catalog(value: &Value) -> Option<(Catalog, Vec<Diagnostic>)> {
    let mut nodes = BTreeMap::new();
    let mut diagnostics = Vec::new();
    for (class_type, definition) in value.as_object()? {
        match definition.as_object() {
            Some(members) => {
                nodes.insert(class_type.clone(), node(class_type, members, &mut diagnostics));
            }
            None => diagnostics.push(Diagnostic::warning(
                "odd-definition",
                format!("the definition of `{class_type}` is not an object and was left out"),
            )),
        }
    }
    Some((Catalog { nodes }, diagnostics))
}

fn node(class_type: &str, members: &Object, diagnostics: &mut Vec<Diagnostic>) -> NodeDef {
    let text = |key: &str| members.get(key).and_then(Value::as_str).map(str::to_owned);
    let flag = |key: &str| members.get(key).and_then(Value::as_bool).unwrap_or(false);
    let groups = members.get("input").and_then(Value::as_object);
    let group = |name: &str| groups.and_then(|groups| groups.get(name)).and_then(Value::as_object);
    let (mut inputs, odd) = inputs(class_type, groups);
    diagnostics.extend(odd.into_iter().map(|name| {
        Diagnostic::warning(
            "odd-definition",
            format!("input `{name}` of `{class_type}` has no type and was left out"),
        )
    }));
    sort(&mut inputs, members.get("input_order"));
    let hidden = group("hidden").into_iter().flatten().filter_map(|(name, kind)| {
        let kind = kind.as_str().or_else(|| kind.as_array()?.first()?.as_str())?;
        Some((name.clone(), kind.to_owned()))
    });
    NodeDef {
        class_type: class_type.to_owned(),
        display_name: text("display_name"),
        hidden: hidden.collect(),
        inputs,
        outputs: outputs(members),
        output_node: flag("output_node"),
        deprecated: flag("deprecated"),
        experimental: flag("experimental"),
        api_node: flag("api_node"),
        python_module: text("python_module"),
        category: text("category"),
    }
}

/// Inputs, required ones first, and the names of those that have no type.
fn inputs(class_type: &str, groups: Option<&Object>) -> (Vec<InputDef>, Vec<String>) {
    let (mut inputs, mut odd) = (Vec::new(), Vec::new());
    for (group, required) in [("required", true), ("optional", false)] {
        let members = groups.and_then(|groups| groups.get(group)).and_then(Value::as_object);
        for (name, spec) in members.into_iter().flatten() {
            match input(class_type, name, required, spec) {
                Some(input) => inputs.push(input),
                None => odd.push(name.clone()),
            }
        }
    }
    (inputs, odd)
}

/// Saved definitions may have been sorted by name on the way; `input_order` still tells the order of the editor.
fn sort(inputs: &mut [InputDef], order: Option<&Value>) {
    let names = |group: &str| order.and_then(|order| order.get(group)).and_then(Value::as_array);
    let (required, optional) = (names("required"), names("optional"));
    inputs.sort_by_key(|input| {
        let names = if input.required { required } else { optional };
        let place = names.and_then(|names| names.iter().position(|name| name.as_str() == Some(&input.name)));
        (!input.required, place.unwrap_or(usize::MAX))
    });
}

fn outputs(members: &Object) -> Vec<OutputDef> {
    let list = |key: &str| members.get(key).and_then(Value::as_array).unwrap_or_default();
    let (names, lists) = (list("output_name"), list("output_is_list"));
    let outputs = list("output").iter().enumerate().map(|(index, ty)| {
        // Some classes list options where a type is expected: such an output is a combo.
        let ty = ty.as_str().unwrap_or("COMBO").to_owned();
        let name = names.get(index).and_then(Value::as_str).unwrap_or(&ty).to_owned();
        OutputDef { name, is_list: lists.get(index).and_then(Value::as_bool).unwrap_or(false), ty }
    });
    outputs.collect()
}

/// An input is `[type]` or `[type, settings]`; the type of an old combo is its list of options.
fn input(class_type: &str, name: &str, required: bool, spec: &Value) -> Option<InputDef> {
    let spec = spec.as_array()?;
    let empty = Object::new();
    let settings = spec.get(1).and_then(Value::as_object).unwrap_or(&empty);
    let flag = |key: &str| settings.get(key).and_then(Value::as_bool).unwrap_or(false);
    let number =
        |key: &str| settings.get(key).and_then(Value::as_number).filter(|number| number.is_finite()).cloned();
    let (kind, mut options) = match spec.first()? {
        Value::Array(options) => (InputKind::Combo, options.clone()),
        Value::String(name) => match name.as_str() {
            "INT" => (InputKind::Int, Vec::new()),
            "FLOAT" => (InputKind::Float, Vec::new()),
            "STRING" => (InputKind::Text, Vec::new()),
            "BOOLEAN" => (InputKind::Boolean, Vec::new()),
            "COMBO" | DYNAMIC_COMBO => (InputKind::Combo, new_style_options(settings)),
            MATCH_TYPE => (InputKind::Socket(allowed_types(settings)), Vec::new()),
            types => {
                (InputKind::Socket(types.split(',').map(|ty| ty.trim().to_owned()).collect()), Vec::new())
            }
        },
        _ => return None,
    };
    let upload = [
        ("image_upload", Upload::Image),
        ("video_upload", Upload::Video),
        ("audio_upload", Upload::Audio),
        ("file_upload", Upload::File),
    ];
    let upload = upload.into_iter().find_map(|(key, upload)| flag(key).then_some(upload));
    let listing =
        if kind == InputKind::Combo { listing(class_type, name, settings, upload, &options) } else { None };
    if listing.is_some() {
        options.clear();
    }
    let default = settings.get("default").filter(|value| !value.is_null()).cloned();
    Some(InputDef {
        name: name.to_owned(),
        required,
        default: default.filter(|_| listing.is_none()),
        min: number("min"),
        max: number("max"),
        step: number("step").filter(Number::is_finite),
        options,
        listing,
        upload,
        multiline: flag("multiline"),
        force_input: flag("forceInput"),
        control_after_generate: settings
            .get("control_after_generate")
            .filter(|value| !value.is_null())
            .map(|value| *value != Value::Bool(false)),
        multiselect: flag("multiselect"),
        dynamic_prompts: flag("dynamicPrompts"),
        dynamic: dynamic(class_type, spec.first()?.as_str(), settings),
        kind,
    })
}

/// The type of a combo whose options bring inputs along.
pub(super) const DYNAMIC_COMBO: &str = "COMFY_DYNAMICCOMBO_V3";
/// The type of a list of sockets that grows.
const AUTOGROW: &str = "COMFY_AUTOGROW_V3";
/// The type of a socket that takes one of several types, the same as others of its node.
const MATCH_TYPE: &str = "COMFY_MATCHTYPE_V3";

fn allowed_types(settings: &Object) -> Vec<String> {
    let allowed = settings.get("template").and_then(|template| template.get("allowed_types"));
    let allowed = allowed.and_then(Value::as_str).unwrap_or("*");
    allowed.split(',').map(|ty| ty.trim().to_owned()).collect()
}

fn dynamic(class_type: &str, ty: Option<&str>, settings: &Object) -> Option<Dynamic> {
    let nested = |value: Option<&Value>| inputs(class_type, value.and_then(Value::as_object)).0;
    match ty? {
        DYNAMIC_COMBO => {
            let options = settings.get("options").and_then(Value::as_array).unwrap_or_default();
            let keyed = options
                .iter()
                .filter_map(|option| Some((option.get("key")?.clone(), nested(option.get("inputs")))));
            Some(Dynamic::Options(keyed.collect()))
        }
        AUTOGROW => Some(Dynamic::Autogrow(nested(
            settings.get("template").and_then(|template| template.get("input")),
        ))),
        _ => None,
    }
}

/// Options of a new-style combo are plain values; dynamic ones are objects with a key.
fn new_style_options(settings: &Object) -> Vec<Value> {
    let options = settings.get("options").and_then(Value::as_array).unwrap_or_default();
    options.iter().filter_map(|option| option.get("key").or(Some(option)).cloned()).collect()
}

fn listing(
    class: &str,
    input: &str,
    settings: &Object,
    upload: Option<Upload>,
    options: &[Value],
) -> Option<String> {
    if let Some(known) = settings.get("listing").and_then(Value::as_str) {
        return Some(known.to_owned());
    }
    if let Some(folder) = model_folders::exact(class, input) {
        return Some(folder.to_owned());
    }
    if upload.is_some() {
        return Some("input".to_owned());
    }
    // Which files these were depends on the machine that was asked.
    let remote = settings.contains_key("remote");
    let files = options.iter().filter_map(Value::as_str).any(model_folders::is_file_name);
    let empty =
        options.is_empty() && settings.get("options").is_none_or(|options| options.as_array().is_some());
    (remote || files || empty).then(|| "unknown".to_owned())
}
