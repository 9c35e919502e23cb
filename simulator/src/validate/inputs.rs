//! The inputs of one node.

use comfyport_workflow::{
    catalog::{Catalog, InputDef, InputKind, NodeDef},
    json::{Number, Object, Value},
};
use indexmap::IndexMap;

use super::{Checked, Exception};
use crate::{python, shared::Engine, store::Place};

/// Checks a node whose needs are checked, and converts its literals.
pub(super) fn check(
    engine: &Engine,
    nodes: &mut Object,
    id: &str,
    checked: &mut IndexMap<String, Checked>,
) -> Checked {
    let installed = engine.installed();
    let Some(definition) = super::definition(&installed.catalog, nodes, id) else { return Checked::Good };
    let given = match nodes[id].get("inputs") {
        Some(Value::Object(given)) => given.clone(),
        Some(_) => return raised("AttributeError", "inputs are not an object", 730),
        None => return raised("KeyError", "'inputs'", 730),
    };
    let mut errors = Vec::new();
    let mut good = true;
    let mut converted = given.clone();
    for input in &definition.inputs {
        let Some(value) = given.get(&input.name) else {
            if input.required {
                let info = [("input_name", Value::from(input.name.as_str()))];
                errors.push(error("required_input_missing", "Required input is missing", &input.name, info));
            }
            continue;
        };
        if let Value::Array(link) = value {
            match check_link(engine, nodes, definition, input, link, checked) {
                Ok(Ok(())) => {}
                Ok(Err(None)) => good = false,
                Ok(Err(Some(error))) => errors.push(error),
                Err(exception) => return Checked::Raised(exception),
            }
            continue;
        }
        match check_literal(engine, definition, input, value) {
            Ok(value) => {
                converted.insert(input.name.clone(), value);
            }
            Err(error) => errors.push(error),
        }
    }
    if definition.inputs.is_empty() {
        for link in given.values().filter_map(Value::as_array) {
            if let [Value::String(node), _] = link
                && matches!(checked.get(node), Some(Checked::Bad(_)))
            {
                good = false;
            }
        }
    }
    if let Some(Value::Object(node)) = nodes.get_mut(id) {
        node.insert("inputs".to_owned(), Value::Object(converted));
    }
    if errors.is_empty() && good { Checked::Good } else { Checked::Bad(errors) }
}

fn raised(ty: &'static str, message: &str, line: u32) -> Checked {
    Checked::Raised(Exception { ty, message: message.to_owned(), line })
}

/// `Err(None)` inside if what is linked to is bad.
type LinkResult = Result<Result<(), Option<Value>>, Exception>;

fn check_link(
    engine: &Engine,
    nodes: &Object,
    definition: &NodeDef,
    input: &InputDef,
    link: &[Value],
    checked: &mut IndexMap<String, Checked>,
) -> LinkResult {
    let name = Value::from(input.name.as_str());
    let config = config(engine, definition, input);
    let received_value = Value::Array(link.to_vec());
    let [node, slot] = link else {
        let message = "Bad linked input, must be a length-2 list of [node_id, slot_index]";
        let info = [("input_name", name), ("input_config", config), ("received_value", received_value)];
        return Ok(Err(Some(error("bad_linked_input", message, &input.name, info))));
    };
    let key_error = || Exception { ty: "KeyError", message: python::repr(node), line: 788 };
    let node = node.as_str().ok_or_else(key_error)?;
    if !nodes.contains_key(node) {
        return Err(key_error());
    }
    let received = received(&engine.installed().catalog, nodes, node, slot)?;
    if !fits(&received, input) {
        let details =
            format!("{}, received_type({received}) mismatch input_type({})", input.name, type_of(input));
        let info = [
            ("input_name", name),
            ("input_config", config),
            ("received_type", Value::from(received)),
            ("linked_node", received_value),
        ];
        let error =
            error("return_type_mismatch", "Return type mismatch between linked nodes", &details, info);
        return Ok(Err(Some(error)));
    }
    match checked.get(node) {
        Some(Checked::Good) | None => Ok(Ok(())),
        Some(Checked::Bad(_)) => Ok(Err(None)),
        Some(Checked::Raised(raised)) => {
            let info = [
                ("input_name", name),
                ("input_config", config),
                ("exception_message", Value::from(raised.message.as_str())),
                ("linked_node", received_value),
            ];
            let message = "Exception when validating inner node";
            let error = exception("exception_during_inner_validation", message, raised, info);
            checked.insert(node.to_owned(), Checked::Bad(vec![error]));
            Ok(Err(None))
        }
    }
}

/// The type of an output, with the exceptions of indexing a Python tuple.
pub(super) fn received(
    catalog: &Catalog,
    nodes: &Object,
    node: &str,
    slot: &Value,
) -> Result<String, Exception> {
    let raise = |ty, message: String| Exception { ty, message, line: 790 };
    let outputs = super::definition(catalog, nodes, node).map_or(&[][..], |definition| &definition.outputs);
    let index = match slot {
        Value::Number(number) if number.is_integer() => number.as_i64().unwrap_or(i64::MAX),
        Value::Bool(value) => i64::from(*value),
        other => {
            let message =
                format!("tuple indices must be integers or slices, not {}", python::type_name(other));
            return Err(raise("TypeError", message));
        }
    };
    let count = i64::try_from(outputs.len()).unwrap_or(i64::MAX);
    let index = if index < 0 { index + count } else { index };
    let output = usize::try_from(index).ok().and_then(|index| outputs.get(index));
    output
        .map(|output| output.ty.clone())
        .ok_or_else(|| raise("IndexError", "tuple index out of range".to_owned()))
}

fn type_of(input: &InputDef) -> String {
    match &input.kind {
        InputKind::Int => "INT".to_owned(),
        InputKind::Float => "FLOAT".to_owned(),
        InputKind::Text => "STRING".to_owned(),
        InputKind::Boolean => "BOOLEAN".to_owned(),
        InputKind::Combo => python::repr(&Value::Array(input.options.clone())),
        InputKind::Socket(types) => types.join(","),
    }
}

/// Whether a linked output fits an input.
pub(super) fn fits(received: &str, input: &InputDef) -> bool {
    let accepted: &[String] = match &input.kind {
        InputKind::Socket(types) => types,
        // A list of options takes an output declared with a list, too; the catalog calls all of those COMBO.
        InputKind::Combo => return matches!(received, "*" | "COMBO" | "STRING") || received.starts_with('['),
        _ => &[type_of(input)],
    };
    received == "*"
        || accepted.iter().any(|accepted| accepted == "*")
        || received.split(',').all(|received| accepted.iter().any(|accepted| accepted == received.trim()))
}

/// The literal as ComfyUI keeps it.
fn check_literal(
    engine: &Engine,
    definition: &NodeDef,
    input: &InputDef,
    value: &Value,
) -> Result<Value, Value> {
    let value = value.get("__value__").unwrap_or(value);
    let converted = convert(&input.kind, value).map_err(|message| {
        let ty = type_of(input);
        let details = format!("{}, {}, {message}", input.name, python::str(value));
        let info = [
            ("input_name", Value::from(input.name.as_str())),
            ("input_config", config(engine, definition, input)),
            ("received_value", value.clone()),
            ("exception_message", Value::from(message)),
        ];
        error(
            "invalid_input_type",
            &format!("Failed to convert an input value to a {ty} value"),
            &details,
            info,
        )
    })?;
    if let Some(error) = bad_file(engine, input, &converted) {
        return Err(error);
    }
    if let Value::Number(number) = &converted {
        check_range(engine, definition, input, number)?;
    }
    check_option(engine, definition, input, &converted)?;
    Ok(converted)
}

fn check_range(
    engine: &Engine,
    definition: &NodeDef,
    input: &InputDef,
    number: &Number,
) -> Result<(), Value> {
    let limits = [
        (&input.min, "value_smaller_than_min", "smaller than min", std::cmp::Ordering::Less),
        (&input.max, "value_bigger_than_max", "bigger than max", std::cmp::Ordering::Greater),
    ];
    for (limit, kind, words, outside) in limits {
        if let Some(limit) = limit
            && compare(number, limit) == Some(outside)
        {
            let message = format!("Value {} {words} of {}", number.as_str(), limit.as_str());
            let info = [
                ("input_name", Value::from(input.name.as_str())),
                ("input_config", config(engine, definition, input)),
                ("received_value", Value::Number(number.clone())),
            ];
            return Err(error(kind, &message, &input.name, info));
        }
    }
    Ok(())
}

fn compare(left: &Number, right: &Number) -> Option<std::cmp::Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64().partial_cmp(&right.as_f64()),
    }
}

fn check_option(engine: &Engine, definition: &NodeDef, input: &InputDef, value: &Value) -> Result<(), Value> {
    if input.kind != InputKind::Combo || input.upload.is_some() {
        return Ok(());
    }
    let text = python::str(value);
    let options: Vec<Value> = match &input.listing {
        Some(folder) if crate::options::FOLDERS.contains(&folder.as_str()) => {
            let models = &engine.installed().models;
            if models.accepts(folder, &text) {
                return Ok(());
            }
            models.list(folder).into_iter().map(Value::from).collect()
        }
        Some(_) => return Ok(()),
        None => input.options.clone(),
    };
    let chosen = |value: &Value| options.iter().any(|option| equal(option, value));
    let found = match value {
        Value::Array(values) if input.multiselect => values.iter().all(chosen),
        value => chosen(value),
    };
    // An empty list of constants means that the catalog does not know them.
    if found || (options.is_empty() && input.listing.is_none()) {
        return Ok(());
    }
    let long = options.len() > 20;
    let list = if long {
        format!("(list of length {})", options.len())
    } else {
        python::repr(&Value::Array(options))
    };
    let info = [
        ("input_name", Value::from(input.name.as_str())),
        ("input_config", if long { Value::Null } else { config(engine, definition, input) }),
        ("received_value", value.clone()),
    ];
    let details = format!("{}: '{text}' not in {list}", input.name);
    Err(error("value_not_in_list", "Value not in list", &details, info))
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            compare(left, right) == Some(std::cmp::Ordering::Equal)
        }
        _ => left == right,
    }
}

/// Inputs that the editor can upload to are checked by whether the file is there.
fn bad_file(engine: &Engine, input: &InputDef, value: &Value) -> Option<Value> {
    use comfyport_workflow::catalog::Upload;
    let kind = match input.upload? {
        Upload::Image => "image",
        Upload::Audio => "audio",
        Upload::Video => "video",
        Upload::File => return None,
    };
    let name = python::str(value);
    if engine.store.get(&Place::annotated(&name)).is_some() {
        return None;
    }
    let details = format!("{} - Invalid {kind} file: {name}", input.name);
    let info = [("input_name", Value::from(input.name.as_str()))];
    Some(error("custom_validation_failed", "Custom validation failed for node", &details, info))
}

/// `int`, `float`, `str`, `bool` of a value, or the message of the exception.
fn convert(kind: &InputKind, value: &Value) -> Result<Value, String> {
    Ok(match kind {
        InputKind::Int => Value::Number(to_int(value)?),
        InputKind::Float => Value::Number(to_float(value)?),
        InputKind::Text => Value::from(python::str(value)),
        InputKind::Boolean => Value::Bool(python::truthy(value)),
        InputKind::Combo | InputKind::Socket(_) => value.clone(),
    })
}

fn to_int(value: &Value) -> Result<Number, String> {
    match value {
        Value::Number(number) if number.is_integer() => Ok(number.clone()),
        Value::Number(number) if !number.is_finite() => Err(match number.as_str() {
            "NaN" => "cannot convert float NaN to integer".to_owned(),
            _ => "cannot convert float infinity to integer".to_owned(),
        }),
        // Truncation is what `int` does.
        #[expect(clippy::cast_possible_truncation, reason = "as wide as the conversion goes")]
        Value::Number(number) => Ok(Number::from_i128(number.as_f64().trunc() as i128)),
        Value::Bool(value) => Ok(Number::from_i128(i128::from(*value))),
        Value::String(text) => text
            .trim()
            .parse()
            .map(Number::from_i128)
            .map_err(|_| format!("invalid literal for int() with base 10: {}", python::repr(value))),
        other => Err(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            python::type_name(other)
        )),
    }
}

fn to_float(value: &Value) -> Result<Number, String> {
    match value {
        Value::Number(number) if number.is_integer() => {
            let text = number.as_str();
            // `float(8)` is written `8.0`.
            if text.len() < 16 {
                Ok(Number::parse(&format!("{text}.0")).unwrap_or_else(|| number.clone()))
            } else {
                Ok(Number::from_f64(number.as_f64()))
            }
        }
        Value::Number(number) => Ok(number.clone()),
        Value::Bool(value) => Ok(Number::from_f64(f64::from(*value))),
        Value::String(text) => text
            .trim()
            .parse()
            .map(Number::from_f64)
            .map_err(|_| format!("could not convert string to float: {}", python::repr(value))),
        other => Err(format!(
            "float() argument must be a string or a real number, not '{}'",
            python::type_name(other)
        )),
    }
}

/// The input as `object_info` describes it.
fn config(engine: &Engine, definition: &NodeDef, input: &InputDef) -> Value {
    let mut config = engine.input_config(definition, input);
    if let Value::Array(parts) = &mut config
        && parts.len() == 1
    {
        parts.push(Value::Object(Object::new()));
    }
    config
}

fn error<const N: usize>(kind: &str, message: &str, details: &str, info: [(&str, Value); N]) -> Value {
    python::object([
        ("type", Value::from(kind)),
        ("message", Value::from(message)),
        ("details", Value::from(details)),
        ("extra_info", python::object(info)),
    ])
}

/// An error that is a Python exception.
pub(super) fn exception<const N: usize>(
    kind: &str,
    message: &str,
    exception: &Exception,
    info: [(&str, Value); N],
) -> Value {
    let mut made = error(kind, message, &exception.message, info);
    if let Value::Object(members) = &mut made
        && let Some(Value::Object(info)) = members.get_mut("extra_info")
    {
        info.insert("exception_type".to_owned(), Value::from(exception.ty));
        info.insert("traceback".to_owned(), exception.traceback());
    }
    made
}
