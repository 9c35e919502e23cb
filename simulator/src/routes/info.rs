//! What the engine is and has.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use comfyport_workflow::{
    catalog::NodeDef,
    json::{Object, Value},
};

use super::{App, MAX_BODY, json, written};
use crate::{options::FOLDERS, python, shared::Engine};

pub(super) async fn object_info(State(engine): App) -> Response {
    let installed = engine.installed();
    let nodes = installed.catalog.iter().map(|node| (node.class_type.clone(), described(&engine, node)));
    json(&Value::Object(nodes.collect()))
}

pub(super) async fn object_info_of(State(engine): App, Path(class): Path<String>) -> Response {
    let installed = engine.installed();
    let node = installed.catalog.get(&class).map(|node| (class.clone(), described(&engine, node)));
    json(&Value::Object(node.into_iter().collect()))
}

/// A class in full: ComfyUI leaves nothing out that is at its default.
fn described(engine: &Engine, node: &NodeDef) -> Value {
    let given = node.to_object_info();
    let mut inputs = Object::new();
    let mut order = Object::new();
    for (group, required) in [("required", true), ("optional", false)] {
        let members: Vec<_> = node.inputs.iter().filter(|input| input.required == required).collect();
        if !required && members.is_empty() {
            continue;
        }
        let known = given.get("input").and_then(|all| all.get(group));
        let configs = members.iter().map(|input| {
            let config = known.and_then(|all| all.get(&input.name)).cloned().unwrap_or(Value::Null);
            (input.name.clone(), engine.with_files(input, config))
        });
        inputs.insert(group.to_owned(), Value::Object(configs.collect()));
        order.insert(group.to_owned(), python::texts(members.iter().map(|input| input.name.as_str())));
    }
    if let Some(hidden) = given.get("input").and_then(|all| all.get("hidden")) {
        inputs.insert("hidden".to_owned(), hidden.clone());
        order.insert("hidden".to_owned(), python::texts(node.hidden.iter().map(|(name, _)| name.as_str())));
    }
    let text = |text: &Option<String>, default: &str| Value::from(text.as_deref().unwrap_or(default));
    let mut described = python::object([
        ("input", Value::Object(inputs)),
        ("input_order", Value::Object(order)),
        ("output", python::texts(node.outputs.iter().map(|output| output.ty.as_str()))),
        (
            "output_is_list",
            Value::Array(node.outputs.iter().map(|output| Value::Bool(output.is_list)).collect()),
        ),
        ("output_name", python::texts(node.outputs.iter().map(|output| output.name.as_str()))),
        ("name", Value::from(node.class_type.as_str())),
        ("display_name", text(&node.display_name, &node.class_type)),
        ("description", Value::from("")),
        ("python_module", text(&node.python_module, "nodes")),
        ("category", text(&node.category, "")),
        ("output_node", Value::Bool(node.output_node)),
    ]);
    if let Value::Object(members) = &mut described {
        let flags = [
            ("deprecated", node.deprecated),
            ("experimental", node.experimental),
            ("api_node", node.api_node),
        ];
        for (key, _) in flags.into_iter().filter(|(_, flag)| *flag) {
            members.insert(key.to_owned(), Value::Bool(true));
        }
    }
    described
}

pub(super) async fn folders() -> Response {
    json(&python::texts(FOLDERS))
}

pub(super) async fn models(State(engine): App, Path(folder): Path<String>) -> Response {
    let listed = engine.installed().models.list(&folder);
    if listed.is_empty() && !FOLDERS.contains(&folder.as_str()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    json(&python::texts(listed.iter().map(String::as_str)))
}

pub(super) async fn embeddings(State(engine): App) -> Response {
    let files = engine.installed().models.list("embeddings");
    json(&python::texts(
        files.iter().map(|file| file.rsplit_once('.').map_or(file.as_str(), |(name, _)| name)),
    ))
}

pub(super) async fn features() -> Response {
    written(
        StatusCode::OK,
        format!("{{\"supports_preview_metadata\": true, \"max_upload_size\": {MAX_BODY}}}"),
    )
}

/// The version is that of the ComfyUI it was modelled on; `pytorch_version` says what it really is.
pub(super) async fn system_stats() -> Response {
    const GIB: i64 = 1 << 30;
    let device = python::object([
        ("name", Value::from("simulated")),
        ("type", Value::from("cpu")),
        ("index", Value::Null),
        ("vram_total", python::integer(24 * GIB)),
        ("vram_free", python::integer(20 * GIB)),
        ("torch_vram_total", python::integer(24 * GIB)),
        ("torch_vram_free", python::integer(20 * GIB)),
    ]);
    let system = python::object([
        ("os", Value::from("posix")),
        ("ram_total", python::integer(24 * GIB)),
        ("ram_free", python::integer(18 * GIB)),
        ("comfyui_version", Value::from("0.3.64")),
        ("required_frontend_version", Value::from("1.27.10")),
        ("installed_templates_version", Value::from("0.1.95")),
        ("required_templates_version", Value::from("0.1.95")),
        ("python_version", Value::from("3.11.7 (comfyport simulator)")),
        ("pytorch_version", Value::from("none (comfyport simulator)")),
        ("embedded_python", Value::Bool(false)),
        ("argv", python::texts(["main.py", "--cpu"])),
    ]);
    json(&python::object([("system", system), ("devices", Value::Array(vec![device]))]))
}

pub(super) async fn users() -> Response {
    written(StatusCode::OK, "{\"storage\": \"server\", \"migrated\": false}".to_owned())
}

pub(super) async fn none() -> Response {
    written(StatusCode::OK, "[]".to_owned())
}

pub(super) async fn nothing() -> Response {
    written(StatusCode::OK, "{}".to_owned())
}
