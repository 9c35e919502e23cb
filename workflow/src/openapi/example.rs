//! Requests that run as they are.

use serde_json::{Map, Value, json};

use crate::{
    endpoint::{Derived, Endpoint, Param, ParamType, Tier},
    json::Number,
};

/// The smallest picture there is: one grey pixel.
const PICTURE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";
/// A hundredth of a second of silence: 80 samples of 8 bits.
const SOUND: &str = "data:audio/wav;base64,UklGRnQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YVAAAACAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgA==";
/// A second of grey, 64 pixels square: nine pictures of H.264 in MP4.
const FILM: &str = include_str!("film.txt");
/// A mesh without triangles.
const MESH: &str =
    "data:model/gltf-binary;base64,Z2xURgIAAAAwAAAAHAAAAEpTT057ImFzc2V0Ijp7InZlcnNpb24iOiIyLjAifX0g";

/// What OpenAPI calls `examples`: a request with what is required and nothing else, and one that also says what is
/// taken for granted. `None` where a file is required that none can be made up of.
pub(super) fn of(endpoint: &Endpoint) -> Option<Value> {
    let minimal =
        request(endpoint, |param| if param.required { sample(param).ok_or(()).map(Some) } else { Ok(None) })?;
    let complete = request(endpoint, |param| match &param.default {
        _ if param.required => sample(param).ok_or(()).map(Some),
        // It is another way to say what a field says that is in the request already.
        _ if param.derived.is_some_and(|derived| derived != Derived::Switch) => Ok(None),
        default => Ok(default.as_ref().map(|default| json!(default))),
    })?;
    let mut examples = Map::new();
    if complete != minimal {
        let value = json!({"summary": "Everything that has a default, with it", "value": complete});
        examples.insert("with_defaults".to_owned(), value);
    }
    // The first in order is what tools show.
    examples.insert("minimal".to_owned(), json!({"summary": "What is required", "value": minimal}));
    Some(Value::Object(examples))
}

/// A request of the values that are given for parameters; `None` if one that is needed cannot be.
fn request(endpoint: &Endpoint, value: impl Fn(&Param) -> Result<Option<Value>, ()>) -> Option<Value> {
    let members = |tier| {
        let mut members = Map::new();
        for param in endpoint.tier(tier) {
            if let Some(value) = value(param).ok()? {
                members.insert(param.name.clone(), value);
            }
        }
        Some(members)
    };
    let (mut request, advanced) = (members(Tier::Primary)?, members(Tier::Advanced)?);
    if !advanced.is_empty() {
        request.insert("advanced".to_owned(), Value::Object(advanced));
    }
    Some(Value::Object(request))
}

/// A value that a parameter accepts.
fn sample(param: &Param) -> Option<Value> {
    Some(match param.ty {
        ParamType::String | ParamType::Enum if !param.options.is_empty() => json!(param.options.first()?),
        ParamType::String | ParamType::Enum => json!(text(param)),
        ParamType::Integer | ParamType::Number => number(param),
        ParamType::Boolean => json!(true),
        ParamType::Seed => json!(1),
        ParamType::Image | ParamType::Mask => json!(PICTURE),
        ParamType::Audio => json!(SOUND),
        ParamType::Video => json!(FILM),
        ParamType::Model3d => json!(MESH),
        ParamType::Loras => json!([]),
        ParamType::File => return None,
    })
}

/// 1 where that is in range, else the nearest to it.
fn number(param: &Param) -> Value {
    let finite = |bound: &Option<Number>| bound.clone().filter(Number::is_finite);
    match (finite(&param.min), finite(&param.max)) {
        (Some(min), _) if min.as_f64() > 1.0 => json!(min),
        (_, Some(max)) if max.as_f64() < 1.0 => json!(max),
        _ => json!(1),
    }
}

fn text(param: &Param) -> &'static str {
    match param.role.as_deref() {
        Some("tags") => "lo-fi, piano, calm",
        Some("lyrics") => "[verse]\nRain on the window",
        _ => "a lighthouse at dusk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, Options, endpoint};

    fn examples(class: &str, input: &str, save: &str, taken: &str) -> Option<Value> {
        let graph = json!({
            "1": {"class_type": class, "inputs": {input: "a"}},
            "2": {"class_type": save, "inputs": {taken: ["1", 0], "filename_prefix": "b", "format": "auto", "codec": "auto"}},
        });
        let options = Options { file: "a", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
        of(&endpoint(graph.to_string().as_bytes(), &options).unwrap())
    }

    #[test]
    fn files_are_made_up_where_they_can_be() {
        let sound = examples("LoadAudio", "audio", "SaveAudio", "audio").unwrap();
        assert!(
            sound["minimal"]["value"]["audio"].as_str().unwrap().starts_with("data:audio/wav"),
            "{sound}"
        );
        let film = examples("LoadVideo", "file", "SaveVideo", "video").unwrap();
        let film = film["minimal"]["value"]["video"].as_str().unwrap();
        assert!(film.starts_with("data:video/mp4;base64,") && !film.ends_with(char::is_whitespace), "{film}");
    }
}
