//! The WebSocket.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{
        Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
};
use comfyport_workflow::json::Value;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;

use super::{App, MAX_BODY};
use crate::{
    hub::To,
    ledger::LedgerEvent,
    python,
    shared::{Engine, event, status},
};

pub(super) async fn open(
    State(engine): App,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let given = query.get("clientId").filter(|id| !id.is_empty()).cloned();
    let sid = given.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
    upgrade.on_upgrade(move |socket| serve(engine, sid, socket))
}

async fn serve(engine: Arc<Engine>, sid: String, socket: WebSocket) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    engine.ledger.note(LedgerEvent::Connected, None, sid.as_str());
    let mut dropped = engine.hub.add(&sid, sender);
    greet(&engine, &sid);
    let (mut sink, mut stream) = socket.split();
    let mut first = true;
    let mut listed = true;
    loop {
        tokio::select! {
            // What was sent before a drop arrives.
            biased;
            message = receiver.recv(), if listed => {
                let Some(message) = message else {
                    // Another socket took the id, or took it away: this one stays open and gets nothing.
                    listed = false;
                    continue;
                };
                if sink.feed(message).await.is_err() {
                    engine.hub.remove(&sid);
                    break;
                }
                // What is waiting goes out in one write.
                let mut failed = false;
                while let Ok(message) = receiver.try_recv() {
                    failed |= sink.feed(message).await.is_err();
                }
                if failed || sink.flush().await.is_err() {
                    engine.hub.remove(&sid);
                    break;
                }
            }
            // By a fault or by the end: without a word, as a killed process does it.
            _ = dropped.changed() => break,
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => hear(&engine, &sid, &text, &mut first),
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    engine.hub.remove(&sid);
                    break;
                }
                Some(Ok(_)) => {}
            }
        }
    }
    engine.ledger.note(LedgerEvent::Disconnected, None, sid);
}

/// The status, and for the client of the running prompt the node that runs.
fn greet(engine: &Engine, sid: &str) {
    if engine.faults.silences() {
        return;
    }
    let remaining = engine.queue().remaining();
    engine.hub.text(status(remaining, Some(sid)), To::Client(sid));
    let at_work = engine.at_work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    if let Some((_, node)) = at_work.filter(|(client, _)| client == sid) {
        engine.hub.text(event("executing", python::object([("node", Value::from(node))])), To::Client(sid));
    }
}

/// Only the first message that is JSON counts, and only if it is about features.
fn hear(engine: &Engine, sid: &str, text: &str, first: &mut bool) {
    let Ok(parsed) = comfyport_workflow::json::parse(text.as_bytes()) else { return };
    let message = parsed.value;
    if !std::mem::replace(first, false)
        || message.get("type").and_then(Value::as_str) != Some("feature_flags")
    {
        return;
    }
    let wants = message.get("data").and_then(|data| data.get("supports_preview_metadata"));
    engine.hub.set_features(sid, wants.is_some_and(python::truthy));
    let features = python::object([
        ("supports_preview_metadata", Value::Bool(true)),
        ("max_upload_size", python::integer(i64::try_from(MAX_BODY).unwrap_or(i64::MAX))),
    ]);
    engine.hub.text(event("feature_flags", features), To::Client(sid));
}
