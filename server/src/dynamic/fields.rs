//! The fields of an endpoint that is made at run time. Kinds and ranges are those that generated code gets.

use std::collections::BTreeSet;

use comfyport_endpoint::{Field, Kind, List, MediaEncoding, MediaKind, Text};
use comfyport_workflow::{
    Param, ParamType, doc,
    json::{Number, Value},
};

use super::make::text;

/// The greatest length of text in characters.
const LONGEST_TEXT: usize = 100_000;

/// A field of the request itself.
pub(super) fn primary(param: &Param) -> Field {
    let written =
        |value| if param.ty == ParamType::Loras { Some(Value::to_json(value)) } else { literal(value) };
    let default = param.default.as_ref().filter(|_| !param.required).and_then(written);
    let doc = doc::field(param).trim().to_owned();
    // Where there are options, a range adds nothing.
    let bounds = if param.options.is_empty() { bounds(param) } else { (None, None) };
    let kind = match param.ty {
        ParamType::Integer if param.options.is_empty() => {
            let least = if is_large(param) { i128::from(u64::MIN) } else { i128::from(i64::MIN) };
            let most = if is_large(param) { i128::from(u64::MAX) } else { i128::from(i64::MAX) };
            Kind::Integer { min: whole(bounds.0).unwrap_or(least), max: whole(bounds.1).unwrap_or(most) }
        }
        ParamType::Integer => Kind::NumberChoice { options: numbers(param) },
        ParamType::Number => float_kind(bounds),
        ParamType::Seed => {
            let bound = |number: Option<&Number>| number.and_then(Number::as_u64);
            Kind::Seed { min: bound(bounds.0).unwrap_or(0), max: bound(bounds.1).unwrap_or(u64::MAX) }
        }
        _ => common(param),
    };
    field(param, kind, default, doc)
}

/// A field of `advanced`.
pub(super) fn advanced(param: &Param) -> Field {
    let default = param.default.as_ref().map(Value::to_json);
    let kind = match param.ty {
        ParamType::Integer => Kind::Integer {
            min: whole(param.min.as_ref()).unwrap_or(i128::from(i64::MIN)),
            max: whole(param.max.as_ref()).unwrap_or(i128::from(i64::MAX)),
        },
        ParamType::Number => float_kind(bounds(param)),
        ParamType::Seed => {
            Kind::Seed { min: 0, max: param.max.as_ref().and_then(Number::as_u64).unwrap_or(u64::MAX) }
        }
        _ => common(param),
    };
    field(param, kind, default, doc::field(param))
}

fn field(param: &Param, kind: Kind, default: Option<String>, doc: String) -> Field {
    let at = param.answers_for().iter().map(|binding| format!("{}.{}", binding.node, binding.input).into());
    Field {
        name: text(&param.name),
        doc: doc.into(),
        kind,
        required: param.required,
        default: default.map(Text::from),
        at: at.collect(),
        role: param.role.as_deref().map(text),
    }
}

/// Kinds that are the same wherever the field is.
fn common(param: &Param) -> Kind {
    let media = |kind| Kind::Media { kind, encoding: encoding(param) };
    match param.ty {
        ParamType::Boolean => Kind::Boolean,
        ParamType::Loras => Kind::Loras {
            folder: text(param.folder.as_deref().unwrap_or("loras")),
            most: param.loras.unwrap_or_default().most,
            clip: param.loras.unwrap_or_default().clip,
            from_url: param.from_url,
            min: param.min.as_ref().map_or(-100.0, Number::as_f64),
            max: param.max.as_ref().map_or(100.0, Number::as_f64),
        },
        ParamType::Image => media(MediaKind::Image),
        ParamType::Mask => media(MediaKind::Mask),
        ParamType::Video => media(MediaKind::Video),
        ParamType::Audio => media(MediaKind::Audio),
        ParamType::Model3d => media(MediaKind::Model3d),
        ParamType::File => media(MediaKind::File),
        ParamType::Enum if !param.open => match choice(param) {
            Some(options) => Kind::Choice { options },
            None => Kind::NumberChoice { options: numbers(param) },
        },
        _ => match &param.folder {
            Some(folder) => Kind::Model { folder: text(folder), from_url: param.from_url },
            None if param.options.is_empty() => Kind::Text { max_length: LONGEST_TEXT },
            None => {
                Kind::Suggest { options: param.options.iter().filter_map(Value::as_str).map(text).collect() }
            }
        },
    }
}

/// The options of a closed choice of texts. Some nodes list one twice.
fn choice(param: &Param) -> Option<List<Text>> {
    let mut seen = BTreeSet::new();
    let texts: Option<Vec<&str>> = param.options.iter().map(Value::as_str).collect();
    Some(texts?.into_iter().filter(|option| seen.insert(*option)).map(text).collect())
}

fn numbers(param: &Param) -> List<i64> {
    param.options.iter().filter_map(|option| option.as_number()?.as_i64()).collect()
}

fn encoding(param: &Param) -> MediaEncoding {
    match param.encoding.as_deref() {
        Some("base64") => MediaEncoding::Base64,
        Some("data_url") => MediaEncoding::DataUrl,
        Some("url") => MediaEncoding::Url,
        Some("path") => MediaEncoding::Path,
        _ => MediaEncoding::UploadName,
    }
}

/// Whether values may be beyond `i64`, and none below zero.
fn is_large(param: &Param) -> bool {
    let large = |number: &Number| number.as_i64().is_none() && number.as_u64().is_some();
    param.max.as_ref().is_some_and(large) && param.min.as_ref().is_none_or(|min| min.as_u64().is_some())
}

fn whole(number: Option<&Number>) -> Option<i128> {
    number.filter(|number| number.is_integer()).and_then(Number::as_i128)
}

type Bounds<'p> = (Option<&'p Number>, Option<&'p Number>);

fn bounds(param: &Param) -> Bounds<'_> {
    (param.min.as_ref(), param.max.as_ref())
}

fn float_kind((min, max): Bounds<'_>) -> Kind {
    let bound = |number: Option<&Number>| number.map(Number::as_f64).filter(|bound| bound.is_finite());
    Kind::Float { min: bound(min).unwrap_or(f64::MIN), max: bound(max).unwrap_or(f64::MAX) }
}

/// A default as the literal of a struct's attribute spells it.
fn literal(value: &Value) -> Option<String> {
    match value {
        Value::String(_) | Value::Bool(_) => Some(value.to_json()),
        Value::Number(number) if number.is_integer() => number.as_i128().map(|value| value.to_string()),
        Value::Number(number) if number.as_f64().is_finite() => {
            let text = number.as_f64().to_string();
            Some(if text.contains('.') { text } else { text + ".0" })
        }
        _ => None,
    }
}
