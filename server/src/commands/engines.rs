//! `comfyport engines`

use std::process::ExitCode;

use serde_json::Value;

use super::{
    remote::Remote,
    table::{cell, details, table, text},
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

/// Gibibytes, as cards are sold.
fn vram(engine: &Value) -> String {
    let bytes = |key: &str| engine.pointer(&format!("/memory/{key}")).and_then(Value::as_u64);
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    match (bytes("vram_free"), bytes("vram_total")) {
        (Some(free), Some(total)) => format!("{:.1}/{:.1} GiB", gib(free), gib(total)),
        _ => String::new(),
    }
}
