//! One OpenAPI document of the fixed routes and every endpoint's part.

use std::{collections::BTreeSet, sync::OnceLock};

use bytes::Bytes;
use comfyport_endpoint::{Endpoint, Held};
use comfyport_workflow::openapi::ROOT_TAG;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The fixed routes and the schemas that endpoints share.
const FIXED: &str = include_str!("openapi/fixed.json");

/// The document, built when first asked for.
#[derive(Debug)]
pub struct Document {
    endpoints: Vec<Held<Endpoint>>,
    built: OnceLock<Built>,
}

/// The document as it is served.
#[derive(Debug, Clone)]
pub struct Built {
    /// JSON.
    pub json: Bytes,
    /// A validator for caches.
    pub etag: String,
}

impl Document {
    /// Of these endpoints.
    pub fn new(endpoints: Vec<Held<Endpoint>>) -> Self {
        Self { endpoints, built: OnceLock::new() }
    }

    /// The document, if somebody asked for it before.
    pub fn ready(&self) -> Option<&Built> {
        self.built.get()
    }

    /// The document. With hundreds of workflows the first one to ask waits for half a second of work.
    pub fn get(&self) -> &Built {
        self.built.get_or_init(|| {
            let json = serde_json::to_vec(&merge(self.endpoints.iter().map(|endpoint| &**endpoint)))
                .unwrap_or_default();
            let etag = format!("\"{}\"", &crate::artifacts::hex(&Sha256::digest(&json))[..32]);
            Built { json: json.into(), etag }
        })
    }
}

/// The whole document.
pub fn merge<'e>(endpoints: impl IntoIterator<Item = &'e Endpoint>) -> Value {
    // Ours and tested; a broken one would leave out what it describes.
    let mut document: Value = serde_json::from_str(FIXED).unwrap_or_default();
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    for endpoint in endpoints {
        let mut part: Value = serde_json::from_str(&endpoint.openapi).unwrap_or_default();
        extend(&mut document["paths"], part["paths"].take());
        extend(&mut document["components"]["schemas"], part["components"]["schemas"].take());
    }
    say_who_may_call(&mut document);
    // What the reader came for is at the top.
    let mut tags = folder_tags(&document);
    if let Some(known) = document["tags"].as_array_mut() {
        tags.append(known);
        *known = tags;
    }
    document
}

/// What every operation may be answered with by the guard before it.
fn say_who_may_call(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::iter_mut);
    for (_, item) in paths.filter(|(path, _)| *path != "/health") {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
            let Some(responses) = responses else { continue };
            for (status, name) in [("401", "Unauthorized"), ("429", "TooOften")] {
                let reference = json!({"$ref": format!("#/components/responses/{name}")});
                responses.entry(status).or_insert(reference);
            }
        }
    }
}

/// Tags of operations that the fixed part does not describe: one for each folder of workflows, in order.
fn folder_tags(document: &Value) -> Vec<Value> {
    let known: BTreeSet<&str> =
        document["tags"].as_array().into_iter().flatten().filter_map(|tag| tag["name"].as_str()).collect();
    let operations = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    let used: BTreeSet<&str> = operations
        .flat_map(|path| path.as_object().into_iter().flat_map(|methods| methods.values()))
        .flat_map(|operation| operation["tags"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let described = |tag: &&str| {
        let description = match *tag {
            ROOT_TAG => "Workflows that are in no folder.".to_owned(),
            folder => format!("Workflows in `{folder}/`."),
        };
        json!({"name": tag, "description": description})
    };
    used.difference(&known).map(described).collect()
}

fn extend(target: &mut Value, part: Value) {
    if let Value::Object(part) = part {
        if !target.is_object() {
            *target = Value::Object(Map::new());
        }
        if let Some(target) = target.as_object_mut() {
            target.extend(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_part_is_a_document() {
        let document = merge([]);
        assert_eq!(document["openapi"], "3.1.0");
        for schema in
            ["Problem", "RunOptions", "Artifact", "MediaValue", "Timing", "WorkflowDescription", "Verdict"]
        {
            assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
        }
    }
}
