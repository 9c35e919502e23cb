//! What only a simulator has: planning faults and reading the ledger.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::App;
use crate::Fault;

/// `{"next": [fault…], "during": [{"seconds": 2, …fault}]}`
#[derive(Debug, Deserialize)]
pub(super) struct Plan {
    #[serde(default)]
    next: Vec<Fault>,
    #[serde(default)]
    during: Vec<During>,
}

#[derive(Debug, Deserialize)]
struct During {
    seconds: f64,
    #[serde(flatten)]
    fault: Fault,
}

/// Reads JSON whatever the content type says, so that `curl -d` works as written.
pub(super) async fn plan(State(engine): App, body: Bytes) -> Response {
    let plan: Plan = match serde_json::from_slice(&body) {
        Ok(plan) => plan,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("not a plan of faults: {error}")).into_response();
        }
    };
    for fault in plan.next {
        engine.faults.next(fault);
    }
    for During { seconds, fault } in plan.during {
        let Ok(duration) = Duration::try_from_secs_f64(seconds) else {
            return (StatusCode::BAD_REQUEST, "`seconds` must be positive").into_response();
        };
        engine.faults.during(fault, duration);
    }
    StatusCode::NO_CONTENT.into_response()
}

pub(super) async fn clear(State(engine): App) -> StatusCode {
    engine.faults.clear();
    StatusCode::NO_CONTENT
}

pub(super) async fn ledger(State(engine): App) -> Response {
    Json(engine.ledger.entries()).into_response()
}
