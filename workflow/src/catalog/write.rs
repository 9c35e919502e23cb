//! Writing definitions in the shape of `object_info`, facts only.

use super::{Catalog, Dynamic, InputDef, InputKind, NodeDef, Upload, read::DYNAMIC_COMBO};
use crate::json::{Object, Value, write_text};

/// One class a line, so that a difference reads well.
pub(super) fn snapshot(catalog: &Catalog) -> String {
    let mut out = String::from("{\n");
    for (index, definition) in catalog.iter().enumerate() {
        if index > 0 {
            out.push_str(",\n");
        }
        write_text(&definition.class_type, &mut out);
        out.push(':');
        node(definition).write(&mut out);
    }
    out.push_str("\n}\n");
    out
}

pub(super) fn node(definition: &NodeDef) -> Value {
    let mut inputs = groups(&definition.inputs);
    if !definition.hidden.is_empty() {
        let hidden = definition.hidden.iter().map(|(name, kind)| (name.clone(), Value::from(kind.as_str())));
        inputs.insert("hidden".to_owned(), Value::Object(hidden.collect()));
    }
    let outputs = |value: &dyn Fn(&super::OutputDef) -> Value| {
        Value::Array(definition.outputs.iter().map(value).collect())
    };
    let mut members = Object::new();
    members.insert("input".to_owned(), Value::Object(inputs));
    members.insert("output".to_owned(), outputs(&|output| Value::from(output.ty.as_str())));
    if definition.outputs.iter().any(|output| output.is_list) {
        members.insert("output_is_list".to_owned(), outputs(&|output| Value::from(output.is_list)));
    }
    if definition.outputs.iter().any(|output| output.name != output.ty) {
        members.insert("output_name".to_owned(), outputs(&|output| Value::from(output.name.as_str())));
    }
    for (key, text) in [
        ("display_name", &definition.display_name),
        ("python_module", &definition.python_module),
        ("category", &definition.category),
    ] {
        if let Some(text) = text {
            members.insert(key.to_owned(), Value::from(text.as_str()));
        }
    }
    for (key, flag) in [
        ("output_node", definition.output_node),
        ("deprecated", definition.deprecated),
        ("experimental", definition.experimental),
        ("api_node", definition.api_node),
    ] {
        if flag {
            members.insert(key.to_owned(), Value::Bool(true));
        }
    }
    Value::Object(members)
}

fn groups(inputs: &[InputDef]) -> Object {
    let mut groups = Object::new();
    for (group, required) in [("required", true), ("optional", false)] {
        let members: Object = inputs
            .iter()
            .filter(|input| input.required == required)
            .map(|input| (input.name.clone(), self::input(input)))
            .collect();
        if required || !members.is_empty() {
            groups.insert(group.to_owned(), Value::Object(members));
        }
    }
    groups
}

/// What an input brings along, as the setting that says so.
fn dynamic(dynamic: &Dynamic) -> (&'static str, Value) {
    let object = |members: [(&str, Value); 1]| {
        Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    match dynamic {
        Dynamic::Options(options) => {
            let options = options.iter().map(|(key, inputs)| {
                let mut option = Object::new();
                option.insert("key".to_owned(), key.clone());
                option.insert("inputs".to_owned(), Value::Object(groups(inputs)));
                Value::Object(option)
            });
            ("options", Value::Array(options.collect()))
        }
        Dynamic::Autogrow(inputs) => ("template", object([("input", Value::Object(groups(inputs)))])),
    }
}

fn input(input: &InputDef) -> Value {
    let mut settings = Object::new();
    let ty = match &input.kind {
        InputKind::Int => Value::from("INT"),
        InputKind::Float => Value::from("FLOAT"),
        InputKind::Text => Value::from("STRING"),
        InputKind::Boolean => Value::from("BOOLEAN"),
        InputKind::Combo if input.dynamic.is_some() => Value::from(DYNAMIC_COMBO),
        InputKind::Combo if input.listing.is_some() => Value::from("COMBO"),
        InputKind::Combo => Value::Array(input.options.clone()),
        InputKind::Socket(types) => Value::from(types.join(",")),
    };
    if let Some(default) = &input.default {
        settings.insert("default".to_owned(), default.clone());
    }
    for (key, number) in [("min", &input.min), ("max", &input.max), ("step", &input.step)] {
        if let Some(number) = number {
            settings.insert(key.to_owned(), Value::Number(number.clone()));
        }
    }
    if let Some(listing) = &input.listing {
        settings.insert("listing".to_owned(), Value::from(listing.as_str()));
    }
    let upload = input.upload.map(|upload| match upload {
        Upload::Image => "image_upload",
        Upload::Video => "video_upload",
        Upload::Audio => "audio_upload",
        Upload::File => "file_upload",
    });
    for (key, flag) in [
        (upload.unwrap_or_default(), upload.is_some()),
        ("multiline", input.multiline),
        ("forceInput", input.force_input),
        ("control_after_generate", input.control_after_generate == Some(true)),
        ("multiselect", input.multiselect),
        ("dynamicPrompts", input.dynamic_prompts),
    ] {
        if flag {
            settings.insert(key.to_owned(), Value::Bool(true));
        }
    }
    if input.control_after_generate == Some(false) {
        settings.insert("control_after_generate".to_owned(), Value::Bool(false));
    }
    if let Some((key, value)) = input.dynamic.as_ref().map(dynamic) {
        settings.insert(key.to_owned(), value);
    }
    let settings = (!settings.is_empty()).then_some(Value::Object(settings));
    Value::Array([Some(ty), settings].into_iter().flatten().collect())
}
