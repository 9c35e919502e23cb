//! A service on a port of its own that answers as it was told, and records what it was asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use std::{
    collections::VecDeque,
    future,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

/// One answer.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    body: String,
    pause: Option<&'static str>,
    never: bool,
}

impl Answer {
    /// A model that says some JSON.
    pub fn says(value: &Value) -> Self {
        Self::says_text(&value.to_string())
    }

    /// A model that says some text.
    pub fn says_text(text: &str) -> Self {
        Self::body(
            200,
            &json!({
                "id": "gen-1",
                "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cost": 0.002},
            }),
        )
    }

    /// A whole answer.
    pub fn body(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string(), pause: None, never: false }
    }

    /// With a `Retry-After`.
    #[must_use]
    pub fn after(mut self, pause: &'static str) -> Self {
        self.pause = Some(pause);
        self
    }

    /// None at all.
    pub fn never() -> Self {
        Self { never: true, ..Self::body(200, &json!({})) }
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The `Authorization` header.
    pub key: String,
    /// The question.
    pub body: Value,
}

#[derive(Debug)]
struct Inner {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Asked>>,
}

/// A running service; it answers in the order of its answers.
#[derive(Debug)]
pub struct Service {
    port: u16,
    inner: Arc<Inner>,
}

impl Service {
    /// On a port of its own.
    pub async fn start(answers: Vec<Answer>) -> Self {
        let inner = Arc::new(Inner { answers: Mutex::new(answers.into()), asked: Mutex::default() });
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&inner));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, inner }
    }

    /// With a slash at its end, as people write it.
    pub fn base(&self) -> Url {
        format!("http://127.0.0.1:{}/v1/", self.port).parse().unwrap()
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }
}

async fn answer(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: String) -> Response {
    let key = headers.get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    inner.asked.lock().unwrap().push(Asked { key, body: serde_json::from_str(&body).unwrap() });
    let answer = inner.answers.lock().unwrap().pop_front().expect("one question too many");
    if answer.never {
        future::pending::<()>().await;
    }
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.body).into_response();
    if let Some(pause) = answer.pause {
        response.headers_mut().insert("retry-after", pause.parse().unwrap());
    }
    response
}

/// An answer of the right shape.
pub fn proposal(parameters: &Value) -> Value {
    json!({"title": "Pictures of words", "description": "Makes a picture of a prompt.", "parameters": parameters})
}
