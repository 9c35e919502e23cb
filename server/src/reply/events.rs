//! A run as server-sent events: `queued`, `started`, `progress`, `preview`, and last `result` or `problem`.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    problem::Problem,
    run::{Running, Update},
};

/// Updates that a slow reader may leave unread before some are dropped.
pub const BUFFER: usize = 64;

const HEARTBEAT: Duration = Duration::from_secs(10);

/// Answers with the events of a run. When the reader leaves, the run is cancelled.
pub fn stream(running: Running, updates: mpsc::Receiver<Update>) -> Response {
    let state = State { running, updates, ended: false };
    Sse::new(events(state)).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

struct State {
    running: Running,
    updates: mpsc::Receiver<Update>,
    ended: bool,
}

fn events(state: State) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(state, |mut state| async move {
        if state.ended {
            return None;
        }
        // The updates end with the run, so everything that was seen is told before its end.
        if let Some(update) = state.updates.recv().await {
            let event = tell(&state.running, update);
            return Some((Ok(event), state));
        }
        state.ended = true;
        let event = match state.running.finish().await {
            Ok(result) => event("result", &result),
            Err(error) => event("problem", &Problem::from(error)),
        };
        Some((Ok(event), state))
    })
}

fn tell(running: &Running, update: Update) -> Event {
    match update {
        Update::Queued { position } => event(
            "queued",
            &json!({"id": running.id.to_string(), "engine": running.engine, "position": position}),
        ),
        Update::Started => event("started", &json!({"id": running.id.to_string()})),
        Update::Progress(step) => event("progress", &step),
        Update::Preview { node, content_type, data } => event(
            "preview",
            &json!({"node": node, "content_type": content_type, "data": STANDARD.encode(data)}),
        ),
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    // Written by hand: the data is one line, as JSON without line breaks always is.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned());
    Event::default().event(name).data(data)
}
