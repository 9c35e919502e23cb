//! `/prompt`: submitting, and how many are left.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use comfyport_workflow::json::{Number, Object, Value};

use super::{App, crash, json, json_body, written};
use crate::{
    ledger::LedgerEvent,
    python,
    queue::Item,
    validate::{self, Verdict},
};

pub(super) async fn remaining(State(engine): App) -> Response {
    let remaining = i128::try_from(engine.queue().remaining()).unwrap_or(i128::MAX);
    json(&python::object([("exec_info", python::object([("queue_remaining", python::integer(remaining))]))]))
}

pub(super) async fn submit(State(engine): App, request: Request) -> Response {
    let body = match json_body(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let mut body = match body {
        Value::Object(body) => body,
        // In a list or a text a key is just not there; `"prompt" in 5` raises.
        Value::Array(_) | Value::String(_) => Object::new(),
        _ => return crash(),
    };
    let Some((number, number_value)) = number(&engine, &body) else { return crash() };
    let Some(mut prompt) = body.shift_remove("prompt") else { return no_prompt() };
    let prompt_id = match body.get("prompt_id") {
        None => uuid::Uuid::new_v4().to_string(),
        Some(id) => python::str(id),
    };
    let (outputs, node_errors) =
        match validate::prompt(&engine, &mut prompt, body.get("partial_execution_targets")) {
            Verdict::Valid { outputs, node_errors } => (outputs, node_errors),
            Verdict::Crash => return crash(),
            Verdict::Invalid { error, node_errors } => {
                engine.ledger.note(LedgerEvent::Rejected, Some(&prompt_id), "");
                return refused(error, node_errors);
            }
        };
    let mut extra_data = body.shift_remove("extra_data").unwrap_or_else(|| Value::Object(Object::new()));
    if let Some(client) = body.shift_remove("client_id") {
        let Value::Object(extra) = &mut extra_data else { return crash() };
        extra.insert("client_id".to_owned(), client);
    }
    let Value::Object(prompt) = prompt else { return crash() };
    let mut item = Item {
        number,
        number_value,
        prompt_id: prompt_id.clone(),
        prompt,
        extra_data,
        outputs,
        generation: 0,
    };
    let answer = python::object([
        ("prompt_id", Value::from(prompt_id.as_str())),
        ("number", item.number_value.clone()),
        ("node_errors", node_errors),
    ]);
    engine.ledger.note(LedgerEvent::Received, Some(&prompt_id), "");
    let (orderable, remaining) = {
        let mut queue = engine.queue();
        item.generation = engine.generation();
        let orderable = queue.push(item);
        let remaining = queue.remaining();
        // Under the lock, so that nobody hears of the next change of the queue before this one.
        engine.send_status(remaining);
        (orderable, remaining)
    };
    engine.wake();
    tracing::debug!(prompt_id, remaining, "queued");
    if orderable { json(&answer) } else { crash() }
}

/// The prompt's place in the queue, as a number and as it is written.
fn number(engine: &crate::shared::Engine, body: &Object) -> Option<(f64, Value)> {
    if let Some(given) = body.get("number") {
        let number = match given {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok()?,
            Value::Bool(value) => f64::from(*value),
            _ => return None,
        };
        return Some((number, Value::Number(Number::from_f64(number))));
    }
    let mut queue = engine.queue();
    let counter = queue.counter;
    queue.counter += 1;
    let number = if body.get("front").is_some_and(python::truthy) { -counter } else { counter };
    Some((number as f64, python::integer(number)))
}

fn refused(error: Value, node_errors: Value) -> Response {
    let body = python::object([("error", error), ("node_errors", node_errors)]);
    written(StatusCode::BAD_REQUEST, python::dumps(&body))
}

fn no_prompt() -> Response {
    let words = Value::from("No prompt provided");
    let error = python::object([
        ("type", Value::from("no_prompt")),
        ("message", words.clone()),
        ("details", words),
        ("extra_info", Value::Object(Object::new())),
    ]);
    refused(error, Value::Object(Object::new()))
}
