//! The queue, the history, and how to stop what runs.

use std::{collections::HashMap, sync::atomic::Ordering};

use axum::{
    extract::{Path, Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use comfyport_workflow::json::Value;

use super::{App, body, crash, json, json_body, written};
use crate::{ledger::LedgerEvent, python};

pub(super) async fn list(State(engine): App) -> Response {
    let value = engine.queue().to_value();
    json(&value)
}

/// Ids of a `delete` member; a text counts as the list of its letters, as in Python.
fn ids(body: &Value) -> Vec<String> {
    match body.get("delete") {
        Some(Value::Array(ids)) => ids.iter().map(python::str).collect(),
        _ => Vec::new(),
    }
}

pub(super) async fn change(State(engine): App, request: Request) -> Response {
    let body = match json_body(request).await {
        // Python can look for a key in a list or a text, too, and just does not find it.
        Ok(body @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => body,
        Ok(_) => return crash(),
        Err(response) => return response,
    };
    let mut changed = false;
    if body.get("clear").is_some_and(python::truthy) {
        for id in engine.queue().clear() {
            engine.ledger.note(LedgerEvent::Deleted, Some(&id), "");
            changed = true;
        }
    }
    for id in ids(&body) {
        if engine.queue().delete(&id) {
            engine.ledger.note(LedgerEvent::Deleted, Some(&id), "");
            changed = true;
        }
    }
    if changed {
        let remaining = engine.queue().remaining();
        engine.send_status(remaining);
    }
    StatusCode::OK.into_response()
}

pub(super) async fn history(State(engine): App, Query(query): Query<HashMap<String, String>>) -> Response {
    let number = |name: &str| query.get(name).map(|text| text.trim().parse::<i64>());
    let (max_items, offset) = match (number("max_items").transpose(), number("offset").transpose()) {
        (Ok(max_items), Ok(offset)) => (max_items, offset.unwrap_or(-1)),
        _ => return crash(),
    };
    let text = engine.queue().history(max_items, offset);
    // An empty range is empty, but Python adds the first entry before it looks at the limit.
    written(StatusCode::OK, text)
}

pub(super) async fn history_of(State(engine): App, Path(prompt_id): Path<String>) -> Response {
    let text = engine.queue().history_entry(&prompt_id);
    written(StatusCode::OK, text)
}

pub(super) async fn change_history(State(engine): App, request: Request) -> Response {
    let body = match json_body(request).await {
        // Python can look for a key in a list or a text, too, and just does not find it.
        Ok(body @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => body,
        Ok(_) => return crash(),
        Err(response) => return response,
    };
    if body.get("clear").is_some_and(python::truthy) {
        engine.queue().clear_history();
    }
    for id in ids(&body) {
        if engine.queue().delete_history(&id) {
            engine.ledger.note(LedgerEvent::HistoryDeleted, Some(&id), "");
        }
    }
    StatusCode::OK.into_response()
}

/// Stops what runs: everything that is no object asks for that, too.
pub(super) async fn interrupt(State(engine): App, request: Request) -> Response {
    let bytes = match body(request).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let body =
        comfyport_workflow::json::parse(&bytes).map_or(Value::Object(<_>::default()), |parsed| parsed.value);
    let Value::Object(body) = body else { return crash() };
    let wanted = body.get("prompt_id").filter(|id| python::truthy(id)).map(python::str);
    engine.ledger.note(LedgerEvent::InterruptRequested, wanted.as_deref(), "");
    let hits = match &wanted {
        None => true,
        Some(wanted) => engine.queue().running() == Some(wanted),
    };
    if hits {
        engine.interrupt.store(true, Ordering::SeqCst);
    }
    StatusCode::OK.into_response()
}

pub(super) async fn free(State(engine): App, request: Request) -> Response {
    match json_body(request).await {
        Ok(Value::Object(_)) => {}
        Ok(_) => return crash(),
        Err(response) => return response,
    }
    engine.ledger.note(LedgerEvent::Freed, None, "");
    StatusCode::OK.into_response()
}
