//! The part of the OpenAPI document that one endpoint contributes: a view of it, as the report is.
//!
//! Schemas that all endpoints share (`Problem`, `RunOptions`, `Artifact`, `MediaValue`, `PictureWish`, `Timing`,
//! `WorkflowDescription`, `Verdict`, `BatchRequest`) are the server's, as are its parameters and responses.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    diagnostic::printable,
    doc::{FROM_URL, is_by_address},
    endpoint::{Endpoint, OutputKind, Param, ParamType, Tier},
    enum_names::enum_names,
    json::{self, Number},
    route::{self, Version},
};

mod example;

/// The tag of workflows that are in no folder; all others are tagged with theirs.
pub const ROOT_TAG: &str = "workflows";

/// The longest address of a model file, in bytes.
const LONGEST_ADDRESS: usize = 2048;

/// The operation ids of one document.
#[derive(Debug, Clone, Default)]
pub struct Ids {
    taken: BTreeSet<String>,
}

impl Ids {
    /// The operation id that runs the endpoint with this path. `a/b_c` and `a_b/c` would share one, and `describe_a`
    /// is also what the description of `a` is called: later ones get a number.
    pub fn next(&mut self, path: &str) -> String {
        self.take(path, None)
    }

    /// The operation id that runs this endpoint at its own path. Where it is the newest of several versions, the one
    /// that runs it at the path of all of them is the same without the number of the version.
    pub fn next_of(&mut self, endpoint: &Endpoint) -> String {
        self.take(&endpoint.path, endpoint.version.as_ref().filter(|version| version.is_newest()))
    }

    fn take(&mut self, path: &str, newest: Option<&Version>) -> String {
        let names = |id: &str| {
            let newest = newest.and_then(|version| newest_id(id, version));
            let names = |id: String| {
                let also = ["describe", "check", "batch"].map(|verb| format!("{verb}_{id}"));
                also.into_iter().chain([route::camel(&id), id])
            };
            [Some(id.to_owned()), newest].into_iter().flatten().flat_map(names).collect::<Vec<_>>()
        };
        let base = route::names(path).join("_");
        let mut id = base.clone();
        let mut number = 2;
        while names(&id).iter().any(|name| self.taken.contains(name)) {
            id = format!("{base}_{number}");
            number += 1;
        }
        self.taken.extend(names(&id));
        id
    }
}

/// `v2_portrait` runs the second version of a portrait, `portrait` the newest, whichever that is.
fn newest_id(id: &str, version: &Version) -> Option<String> {
    id.strip_prefix(&format!("v{}_", version.number)).map(str::to_owned)
}

/// JSON text with `paths` and `components.schemas`; keys are ordered. `id` is the operation that runs the endpoint.
pub fn fragment(endpoint: &Endpoint, id: &str) -> String {
    let name = route::camel(id);
    let mut schemas = Map::new();
    schemas.insert(format!("{name}Request"), request(endpoint, false));
    schemas.insert(format!("{name}Form"), request(endpoint, true));
    schemas.insert(format!("{name}Response"), response(endpoint));
    let mut paths = paths(endpoint, &endpoint.path, id);
    if let Some(version) = endpoint.version.as_ref().filter(|version| version.is_newest())
        && let Some(newest) = newest_id(id, version)
    {
        paths.extend(self::paths(endpoint, &version.route, &newest));
        let newest = route::camel(&newest);
        schemas.extend(["Request", "Form", "Response"].map(|form| {
            (format!("{newest}{form}"), json!({"$ref": format!("#/components/schemas/{name}{form}")}))
        }));
    }
    let fragment = json!({"paths": paths, "components": {"schemas": schemas}});
    let mut text = serde_json::to_string_pretty(&fragment).unwrap_or_default();
    text.push('\n');
    text
}

/// What can be done with an endpoint at one of its routes.
fn paths(endpoint: &Endpoint, route: &str, id: &str) -> Map<String, Value> {
    let name = route::camel(id);
    let tag = endpoint.version.as_ref().map_or(endpoint.path.as_str(), |version| &version.route);
    let tag = tag.rsplit_once('/').map_or(ROOT_TAG, |(folder, _)| folder);
    let headers = json!([
        {"$ref": "#/components/parameters/Prefer"},
        {"$ref": "#/components/parameters/IdempotencyKey"},
    ]);
    let mut run = json!({
        "operationId": id,
        "summary": endpoint.title,
        "description": described(endpoint),
        "tags": [tag],
        "parameters": headers,
        "requestBody": body(endpoint, &name),
        "responses": responses(endpoint, &name),
    });
    let mut describe = json!({
        "operationId": format!("describe_{id}"),
        "summary": format!("Describe: {}", endpoint.title),
        "description": "What it takes and yields, what it needs, and whether each engine has that.",
        "tags": [tag],
        "responses": {
            "200": {
                "description": "What it takes and yields, and whether the engine can run it.",
                "content": content("#/components/schemas/WorkflowDescription"),
            },
            "403": problem(FORBIDDEN),
            "default": problem("Anything that went wrong."),
        },
    });
    let mut check = json!({
        "operationId": format!("check_{id}"),
        "summary": format!("Check: {}", endpoint.title),
        "description": "Whether this request would run, and what is missing. Nothing is submitted.",
        "tags": [tag],
        "requestBody": body(endpoint, &name),
        "responses": {
            "200": {
                "description": "The request is in order; `ready` says whether the engine could run it.",
                "content": content("#/components/schemas/Verdict"),
            },
            "403": problem(FORBIDDEN),
            "422": problem("The request is not in order; every fault is listed."),
            "default": problem("Anything else that went wrong."),
        },
    });
    let mut batch = json!({
        "operationId": format!("batch_{id}"),
        "summary": format!("Batch: {}", endpoint.title),
        "description": "Several runs, from a list of requests or a grid of values: all of them are accepted, or none.",
        "tags": [tag],
        "parameters": [headers[1]],
        "requestBody": {"required": true, "content": content("#/components/schemas/BatchRequest")},
        "responses": {
            "202": {"$ref": "#/components/responses/AcceptedBatch"},
            "403": problem(FORBIDDEN),
            "422": problem("A request is not in order; every fault of all of them is listed."),
            "default": problem("Anything else that went wrong."),
        },
    });
    if endpoint.deprecated.is_some() {
        for operation in [&mut run, &mut describe, &mut check, &mut batch] {
            operation["deprecated"] = json!(true);
        }
    }
    let mut paths = Map::new();
    paths.insert(format!("/{route}"), json!({"post": run, "get": describe}));
    paths.insert(format!("/{route}:check"), json!({"post": check}));
    paths.insert(format!("/{route}:batch"), json!({"post": batch}));
    paths
}

/// What it does, and whether to use something else.
fn described(endpoint: &Endpoint) -> String {
    let text = endpoint.description.as_ref().unwrap_or(&endpoint.title);
    match &endpoint.deprecated {
        Some(deprecation) => format!("{text}\n\nThis is {}", printable(&deprecation.to_string())),
        None => text.clone(),
    }
}

const FORBIDDEN: &str = "The `Host` or `Origin` of the request is not one that this server answers to.";

fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": {"$ref": schema}}})
}

fn body(endpoint: &Endpoint, name: &str) -> Value {
    let required = endpoint.params.iter().any(|param| param.required && is_public(param));
    let schema = |form: &str| json!({"schema": {"$ref": format!("#/components/schemas/{name}{form}")}});
    let mut json = schema("Request");
    if let Some(examples) = example::of(endpoint) {
        json["examples"] = examples;
    }
    let mut form = schema("Form");
    let files = endpoint.tier(Tier::Primary).filter(|param| param.ty.is_media());
    let encoding: Map<String, Value> =
        files.map(|param| (param.name.clone(), json!({"contentType": media_type(param.ty)}))).collect();
    if !encoding.is_empty() {
        form["encoding"] = json!(encoding);
    }
    json!({"required": required, "content": {"application/json": json, "multipart/form-data": form}})
}

fn is_public(param: &Param) -> bool {
    matches!(param.tier, Tier::Primary | Tier::Advanced)
}

fn request(endpoint: &Endpoint, form: bool) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for param in endpoint.tier(Tier::Primary) {
        properties.insert(param.name.clone(), schema(param, form));
        if form && is_picture(param) {
            let wish = json!({"$ref": "#/components/schemas/PictureWish"});
            properties.insert(format!("{}.options", param.name), wish);
        }
        if param.required {
            required.push(json!(param.name));
        }
    }
    if endpoint.tier(Tier::Advanced).next().is_some() {
        let (mut advanced, mut needed) = (Map::new(), Vec::new());
        for param in endpoint.tier(Tier::Advanced) {
            advanced.insert(param.name.clone(), schema(param, form));
            if param.required {
                needed.push(json!(param.name));
            }
        }
        let mut object = object(&advanced, &needed);
        object["description"] = json!("Values that few callers set.");
        properties.insert("advanced".to_owned(), object);
        if !needed.is_empty() {
            required.push(json!("advanced"));
        }
    }
    properties.insert("options".to_owned(), json!({"$ref": "#/components/schemas/RunOptions"}));
    object(&properties, &required)
}

fn object(properties: &Map<String, Value>, required: &[Value]) -> Value {
    let mut object = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn is_picture(param: &Param) -> bool {
    matches!(param.ty, ParamType::Image | ParamType::Mask)
}

/// The schema of one parameter.
fn schema(param: &Param, form: bool) -> Value {
    let mut schema = match param.ty {
        ParamType::String | ParamType::Enum if param.open => {
            let longest = if is_by_address(param) { LONGEST_ADDRESS } else { 1000 };
            let mut schema = json!({"type": "string", "maxLength": longest});
            if !param.options.is_empty() {
                schema["examples"] = json!(param.options);
            }
            schema
        }
        ParamType::String => json!({"type": "string", "maxLength": 100_000}),
        ParamType::Enum => closed(&param.options),
        ParamType::Boolean => json!({"type": "boolean"}),
        ParamType::Integer => ranged("integer", param),
        ParamType::Number => ranged("number", param),
        ParamType::Loras => loras(param),
        ParamType::Seed => {
            let max = param.max.as_ref().and_then(Number::as_u64).unwrap_or(u64::MAX);
            json!({"type": "integer", "minimum": 0, "maximum": max})
        }
        media => {
            let mut schema = if form {
                json!({"type": "string", "format": "binary"})
            } else {
                json!({"$ref": "#/components/schemas/MediaValue"})
            };
            schema["contentMediaType"] = json!(media_type(media));
            schema["x-media-kind"] = json!(media.as_str());
            schema
        }
    };
    let description = describe(param);
    if !description.is_empty() {
        schema["description"] = json!(description);
    }
    if let Some(default) = &param.default {
        schema["default"] = json!(default);
    }
    schema
}

fn loras(param: &Param) -> Value {
    let strength = |doc: &str| {
        let mut schema = ranged("number", param);
        schema["description"] = json!(doc);
        schema
    };
    let mut properties = json!({
        "name": {"type": "string", "maxLength": 1000, "description": "The file, with `/` between folders."},
        "url": {
            "type": "string",
            "format": "uri",
            "maxLength": LONGEST_ADDRESS,
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://",
            "description": if param.from_url {
                "Instead of `name`: an address that ends in the name of a file, which is looked for in all folders, \
                 and fetched if it is in none."
            } else {
                "Instead of `name`: an address that ends in the name of a file, which is looked for in all folders. \
                 Nothing is fetched."
            },
        },
        "strength": strength("How strongly it changes the diffusion model."),
    });
    properties["strength"]["default"] = json!(1);
    let shape = param.loras.unwrap_or_default();
    if shape.clip {
        properties["strength_clip"] =
            strength("How strongly it changes the text encoder; as `strength` where left out.");
    }
    json!({
        "type": "array",
        "maxItems": shape.most,
        "items": {
            "type": "object",
            "anyOf": [{"required": ["name"]}, {"required": ["url"]}],
            "additionalProperties": false,
            "properties": properties,
        },
    })
}

/// A choice. Some nodes list an option twice, which a schema may not.
fn closed(options: &[json::Value]) -> Value {
    let mut distinct: Vec<&json::Value> = Vec::new();
    for option in options {
        if !distinct.contains(&option) {
            distinct.push(option);
        }
    }
    let texts: Option<Vec<&str>> = distinct.iter().map(|option| option.as_str()).collect();
    match texts {
        Some(texts) => {
            json!({"type": "string", "enum": texts, "x-enum-varnames": enum_names(texts.iter().copied())})
        }
        None => json!({"enum": distinct}),
    }
}

fn describe(param: &Param) -> String {
    let mut text = param.description.clone().unwrap_or_default();
    if is_by_address(param) {
        let space = if text.is_empty() { "" } else { " " };
        text.extend([space, FROM_URL]);
    }
    if let Some(unit) = &param.unit {
        text.extend([" In ", unit, "."]);
    }
    let places: Vec<String> = param
        .bindings
        .iter()
        .map(|binding| format!("{}.{}, node {}", binding.class_type, binding.input, binding.node))
        .collect();
    if !text.is_empty() {
        text.push(' ');
    }
    text.extend(["(", &printable(&places.join("; ")), ")"]);
    text
}

fn ranged(ty: &str, param: &Param) -> Value {
    let mut schema = json!({"type": ty});
    for (key, bound) in [("minimum", &param.min), ("maximum", &param.max)] {
        if let Some(bound) = bound.as_ref().filter(|bound| bound.is_finite()) {
            schema[key] = json!(bound);
        }
    }
    schema
}

fn media_type(ty: ParamType) -> &'static str {
    match ty {
        ParamType::Image | ParamType::Mask => "image/*",
        ParamType::Video => "video/*",
        ParamType::Audio => "audio/*",
        ParamType::Model3d => "model/gltf-binary",
        _ => "application/octet-stream",
    }
}

fn response(endpoint: &Endpoint) -> Value {
    let outputs: Map<String, Value> = endpoint
        .outputs
        .iter()
        .map(|output| {
            let items = if output.kind == OutputKind::Text {
                json!({})
            } else {
                json!({"$ref": "#/components/schemas/Artifact", "x-media-kind": output.kind.as_str()})
            };
            let doc = format!("{}, node {}", printable(&output.class_type), output.node);
            (output.name.clone(), json!({"type": "array", "items": items, "description": doc}))
        })
        .collect();
    let names: Vec<&String> = outputs.keys().collect();
    json!({
        "type": "object",
        "required": ["id", "status", "workflow", "outputs", "params", "engine", "timing"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "status": {"const": "succeeded"},
            "workflow": {"const": endpoint.path},
            "outputs": {"type": "object", "required": names, "properties": outputs},
            "params": {"type": "object", "description": "The values the run was made with, seeds included."},
            "engine": {"type": "string"},
            "simulated": {"type": "boolean", "description": "Present and true where the engine is the simulator."},
            "timing": {"$ref": "#/components/schemas/Timing"},
        },
    })
}

fn responses(endpoint: &Endpoint, name: &str) -> Value {
    let mut content = Map::new();
    content.insert(
        "application/json".to_owned(),
        json!({"schema": {"$ref": format!("#/components/schemas/{name}Response")}}),
    );
    let stream =
        json!({"schema": {"type": "string", "description": "Progress, then the result or a problem."}});
    content.insert("text/event-stream".to_owned(), stream);
    for output in &endpoint.outputs {
        let media = match output.kind {
            OutputKind::Image | OutputKind::ImageAnimated => "image/*",
            OutputKind::Video => "video/*",
            OutputKind::Audio => "audio/*",
            OutputKind::Mesh => "model/gltf-binary",
            OutputKind::Text | OutputKind::Latent | OutputKind::File => continue,
        };
        content.insert(media.to_owned(), json!({"schema": {"type": "string", "format": "binary"}}));
    }
    json!({
        "200": {"description": "The run succeeded.", "content": content},
        "202": {"$ref": "#/components/responses/Accepted"},
        "400": problem("The request cannot be read."),
        "403": problem(FORBIDDEN),
        "406": problem("The workflow has no output of the type asked for."),
        "409": problem("The run was cancelled, or a request with this `Idempotency-Key` is being answered."),
        "413": problem("The request is too large."),
        "415": problem("A file is of a kind that is not supported."),
        "422": problem("The request is not in order; every fault is listed."),
        "429": problem("As many jobs wait as this server lets wait."),
        "502": problem("The engine refused or failed."),
        "503": problem("The engine cannot run this now; what is missing is named."),
        "504": problem("The run took too long."),
        "default": problem("Anything else that went wrong."),
    })
}

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    })
}
