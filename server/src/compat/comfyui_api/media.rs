//! Files in a graph: addresses, base64 and data URIs where the name of an uploaded file would stand.

use comfyport_endpoint::{DecodeLimits, Fault, FaultKind, Faults, Media};
use comfyport_workflow::json::{Object, Value};

use crate::{
    engine::Capabilities,
    media::{self, HEAD},
    problem::Problem,
    run::{Attached, Attachment, RunError, pointer},
};

/// What stands before a path in an address.
const SCHEMES: [&str; 7] = ["http://", "https://", "s3://", "gs://", "az://", "hf://", "azureblob://"];

/// Finds the files that a graph brings along. Which inputs take files the engine says.
pub(super) fn find(
    graph: &Object,
    known: &Capabilities,
    limits: &DecodeLimits,
) -> Result<Vec<Attachment>, Problem> {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for (node, value) in graph {
        let Some(class) = value.get("class_type").and_then(Value::as_str) else { continue };
        let Some(inputs) = value.get("inputs").and_then(Value::as_object) else { continue };
        let uploads = known.uploads.get(class);
        for (input, value) in inputs {
            let text = match value {
                Value::String(text) => text,
                Value::Array(items) if class.starts_with("VHS_LoadImages") && items.iter().all(is_text) => {
                    let detail = format!(
                        "node {node} ({class}): folders of pictures are not made by this server; load pictures one by one, \
                         with LoadImage"
                    );
                    return Err(Problem::not_implemented(detail));
                }
                _ => continue,
            };
            let Some(kind) = uploads.and_then(|uploads| uploads.get(input)) else {
                let is_choice = known.required.get(class).and_then(|inputs| inputs.get(input));
                if is_choice.is_some_and(|kind| kind == "COMBO") && is_address(text) {
                    let detail = format!(
                        "node {node} ({class}), input {input}: models are not fetched by this server; put the file on the \
                         engine and give its name"
                    );
                    return Err(Problem::not_implemented(detail));
                }
                continue;
            };
            match told(text, limits) {
                Ok(Some(media)) => found.push(Attachment {
                    node: node.clone(),
                    input: input.clone(),
                    kind: *kind,
                    source: media.source,
                }),
                Ok(None) => {}
                Err(message) => faults.push(Fault {
                    pointer: ["prompt", node, "inputs", input].map(pointer).concat(),
                    param: Some(format!("{node}.{input}")),
                    message,
                    allowed: None,
                    did_you_mean: None,
                    code: FaultKind::Invalid,
                }),
            }
        }
    }
    if faults.is_empty() {
        return Ok(found);
    }
    Err(RunError::Request { faults: Faults(faults), url: None }.into())
}

/// Writes the names of our own into a graph, in the place of files.
pub(super) fn refer(graph: &mut Object, attached: &[Attached]) {
    for Attached { node, input, file } in attached {
        let Some(Value::Object(node)) = graph.get_mut(node) else { continue };
        let Some(Value::Object(inputs)) = node.get_mut("inputs") else { continue };
        inputs.insert(input.clone(), Value::String(file.to_string()));
    }
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::String(_))
}

fn is_address(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// A file, if a text is one. Whatever else it is, it is for the engine: the name of a file that is there.
fn told(text: &str, limits: &DecodeLimits) -> Result<Option<Media>, String> {
    let text = text.trim();
    let must_be = text.starts_with("data:") || text.starts_with("upload:") || text.contains("://");
    let media = match Media::from_text(text, limits) {
        Ok(media) => media,
        Err(message) if must_be => return Err(message),
        Err(_) => return Ok(None),
    };
    // The name of a file may be base64 by chance; what that stands for is no file then.
    if let (false, comfyport_endpoint::MediaSource::Bytes { data, .. }) = (must_be, &media.source) {
        let head = data.get(..HEAD.min(data.len())).unwrap_or_default();
        return Ok(media::sniff(comfyport_endpoint::MediaKind::File, head).is_ok().then_some(media));
    }
    Ok(Some(media))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use comfyport_endpoint::MediaSource;

    use super::*;

    #[test]
    fn files_are_told_from_names() {
        let limits = DecodeLimits::default();
        // As short as they come: no padding, and slashes in it.
        let jpeg = STANDARD.encode(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01");
        assert!(jpeg.starts_with("/9j/"));
        for text in [jpeg.clone(), format!("data:image/jpeg;base64,{jpeg}")] {
            let media = told(&text, &limits).unwrap().unwrap();
            assert!(matches!(media.source, MediaSource::Bytes { .. }), "{text}");
        }
        for text in ["example.png", "folder/example.png [input]", "abcd", "/etc/passwd", ""] {
            assert!(told(text, &limits).unwrap().is_none(), "{text}");
        }
        let media = told("https://a.example/x.png", &limits).unwrap().unwrap();
        assert!(matches!(media.source, MediaSource::Url(_)));
        assert!(told("data:image/png;base64,%%", &limits).is_err());
    }
}
