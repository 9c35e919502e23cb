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

/// What a `delete` member lists. As in Python, a text is its letters and an object its keys; `None` raises.
fn listed(body: &Value) -> Option<Vec<Value>> {
    match body.get("delete") {
        None => Some(Vec::new()),
        Some(Value::Array(items)) => Some(items.clone()),
        Some(Value::String(text)) => {
            Some(text.chars().map(|letter| Value::from(letter.to_string())).collect())
        }
        Some(Value::Object(members)) => Some(members.keys().map(|key| Value::from(key.as_str())).collect()),
        Some(_) => None,
    }
}

pub(super) async fn change(State(engine): App, request: Request) -> Response {
    let body = match json_body(request).await {
        // Python can look for a key in a list or a text, too, and just does not find it.
        Ok(body @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => body,
        Ok(_) => return crash(),
        Err(response) => return response,
    };
    if body.get("clear").is_some_and(python::truthy) {
        let mut queue = engine.queue();
        for id in queue.clear() {
            engine.ledger.note(LedgerEvent::Deleted, Some(&id), "");
        }
        engine.send_status(queue.remaining());
    }
    let Some(items) = listed(&body) else { return crash() };
    // Only a text equals an id.
    for id in items.iter().filter_map(Value::as_str) {
        let mut queue = engine.queue();
        if queue.delete(id) {
            engine.ledger.note(LedgerEvent::Deleted, Some(id), "");
            // The last one that waits is deleted by clearing the queue, which says so, too.
            for _ in 0..if queue.has_pending() { 1 } else { 2 } {
                engine.send_status(queue.remaining());
            }
        }
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
    let Some(items) = listed(&body) else { return crash() };
    for item in items {
        match item {
            Value::String(id) if engine.queue().delete_history(&id) => {
                engine.ledger.note(LedgerEvent::HistoryDeleted, Some(&id), "");
            }
            // What cannot be a key of a Python dictionary cannot be looked up in one.
            Value::Array(_) | Value::Object(_) => return crash(),
            _ => {}
        }
    }
    StatusCode::OK.into_response()
}

/// Stops what runs: text that is no JSON asks for that, too.
pub(super) async fn interrupt(State(engine): App, request: Request) -> Response {
    let bytes = match body(request).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    if std::str::from_utf8(&bytes).is_err() {
        return crash();
    }
    let body =
        comfyport_workflow::json::parse(&bytes).map_or(Value::Object(<_>::default()), |parsed| parsed.value);
    let Value::Object(body) = body else { return crash() };
    let wanted = body.get("prompt_id").filter(|id| python::truthy(id));
    engine.ledger.note(LedgerEvent::InterruptRequested, wanted.map(python::str).as_deref(), "");
    if wanted.is_none_or(|wanted| wanted.as_str() == engine.queue().running()) {
        engine.interrupt.store(true, Ordering::SeqCst);
    }
    StatusCode::OK.into_response()
}

pub(super) async fn free(State(engine): App, request: Request) -> Response {
    let body = match json_body(request).await {
        Ok(body @ Value::Object(_)) => body,
        Ok(_) => return crash(),
        Err(response) => return response,
    };
    if body.get("free_memory").is_some_and(python::truthy) {
        engine.free_memory.store(true, Ordering::SeqCst);
    }
    engine.ledger.note(LedgerEvent::Freed, None, "");
    StatusCode::OK.into_response()
}
