//! `comfyport engines`

use std::process::ExitCode;

use serde_json::Value;

use super::{
    remote::{Remote, printable},
    table::table,
};
use crate::{
    cli::{EngineAction, Engines, Format},
    say,
};

pub(crate) fn run(arguments: &Engines) -> ExitCode {
    super::block_on(async {
        match ask(arguments).await {
            Ok(text) => say::data(&text),
            Err(error) => say::refuse(error),
        }
    })
}

async fn ask(arguments: &Engines) -> Result<String, String> {
    let server = Remote::new(&arguments.server.url)?;
    let (answer, is_list) = match &arguments.action {
        None | Some(EngineAction::List) => (server.get(&["engines"]).await?, true),
        Some(EngineAction::Show(engine)) => (server.get(&["engines", &engine.name]).await?, false),
        Some(EngineAction::Drain(engine)) => {
            (server.post(&["engines", &format!("{}:drain", engine.name)]).await?, false)
        }
        Some(EngineAction::Resume(engine)) => {
            (server.post(&["engines", &format!("{}:resume", engine.name)]).await?, false)
        }
    };
    Ok(match arguments.format {
        Format::Json => format!("{answer:#}\n"),
        Format::Text if is_list => list(&answer),
        Format::Text => details(&answer),
    })
}

fn list(answer: &Value) -> String {
    let engines = answer.get("engines").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let row = |engine: &Value| {
        let queue = |key: &str| engine.pointer(&format!("/queue/{key}")).map(text).unwrap_or_default();
        [
            cell(engine, "name"),
            cell(engine, "state"),
            cell(engine, "outstanding"),
            queue("running"),
            queue("pending"),
            queue("foreign"),
            vram(engine),
            cell(engine, "version"),
            cell(engine, "reason"),
        ]
    };
    let rows: Vec<_> = engines.iter().map(row).collect();
    let headings =
        ["NAME", "STATE", "OURS", "RUNNING", "PENDING", "FOREIGN", "VRAM FREE", "VERSION", "REASON"];
    table(headings, &rows)
}

/// Everything about one engine, a line each.
fn details(engine: &Value) -> String {
    let mut rows = Vec::new();
    flatten(engine, "", &mut rows);
    table(["WHAT", "VALUE"], &rows)
}

fn flatten(value: &Value, name: &str, rows: &mut Vec<[String; 2]>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(value, &name, rows);
            }
        }
        other => rows.push([printable(name), text(other)]),
    }
}

fn cell(engine: &Value, key: &str) -> String {
    engine.get(key).map(text).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => printable(&other.to_string()),
    }
}

/// Gibibytes, as cards are sold.
fn vram(engine: &Value) -> String {
    let bytes = |key: &str| engine.pointer(&format!("/memory/{key}")).and_then(Value::as_u64);
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    match (bytes("vram_free"), bytes("vram_total")) {
        (Some(free), Some(total)) => format!("{:.1}/{:.1} GiB", gib(free), gib(total)),
        _ => String::new(),
    }
}
