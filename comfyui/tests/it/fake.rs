//! A ComfyUI that does what a test tells it to, on a real port.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{
        Path, Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use comfyport_comfyui::{Client, ClientConfig};
use serde_json::{Value, json};
use tokio::sync::{Notify, broadcast, watch};

/// What POST /prompt does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Post {
    Accept,
    AcceptThenCut,
    CutOnly,
    AcceptThenHtml500,
    Html500,
    AcceptPartly,
    Reject,
    /// Done before the answer is sent, as with a fully cached prompt.
    Finish,
}

/// What the socket does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Ws {
    Open,
    Refuse,
    /// Opens, and never says anything.
    Silent,
}

#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) prompts: Vec<Value>,
    pub(crate) first_frames: Vec<String>,
    pub(crate) client_ids: Vec<String>,
    pub(crate) headers: Vec<HeaderMap>,
    pub(crate) commands: Vec<(String, Value)>,
    pub(crate) looks: usize,
    pub(crate) upload: Vec<u8>,
}

pub(crate) struct Queue {
    pub(crate) post: Post,
    pub(crate) ws: Ws,
    pub(crate) running: Vec<String>,
    pub(crate) pending: Vec<String>,
    pub(crate) history: BTreeMap<String, Value>,
    pub(crate) broken: bool,
    /// Whether interrupts are obeyed.
    pub(crate) interruptible: bool,
}

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) queue: Arc<Mutex<Queue>>,
    pub(crate) seen: Arc<watch::Sender<Seen>>,
    events: broadcast::Sender<Option<Message>>,
    url: String,
    /// Cuts the download that waits for it.
    pub(crate) cut: Arc<Notify>,
}

pub(crate) fn success() -> Value {
    json!({"outputs": {"9": {"images": [{"filename": "a.png", "subfolder": "s", "type": "output"}]}},
        "status": {"status_str": "success", "completed": true, "messages": [["execution_success", {"timestamp": 5}]]}})
}

pub(crate) fn interrupted() -> Value {
    json!({"outputs": {}, "status": {"status_str": "error", "messages": [["execution_interrupted", {}]]}})
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let queue = Queue {
            post: Post::Accept,
            ws: Ws::Open,
            running: Vec::new(),
            pending: Vec::new(),
            history: BTreeMap::new(),
            broken: false,
            interruptible: true,
        };
        let fake = Self {
            queue: Arc::new(Mutex::new(queue)),
            seen: Arc::new(watch::Sender::new(Seen::default())),
            events: broadcast::Sender::new(1024),
            url,
            cut: Arc::default(),
        };
        let app = Router::new()
            .route("/ws", get(socket))
            .route("/prompt", post(submit))
            .route("/queue", get(look).post(delete))
            .route("/history/{id}", get(history))
            .route("/interrupt", post(interrupt))
            .route("/view", get(view))
            .route("/upload/image", post(upload))
            .route("/object_info", get(|| async { "x".repeat(4096) }))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        change(&mut self.queue.lock().unwrap())
    }

    /// A client in a hurry.
    pub(crate) fn client(&self, change: impl FnOnce(&mut ClientConfig)) -> Client {
        let mut config = ClientConfig::new(self.url.parse().unwrap());
        config.poll_min = Duration::from_millis(20);
        config.poll_max = Duration::from_millis(50);
        config.lost_grace = Duration::from_millis(100);
        config.stall_after = None;
        config.socket_wait = Duration::from_millis(500);
        config.reconnect_min = Duration::from_millis(10);
        config.max_body = 64 << 10;
        change(&mut config);
        Client::new(config).unwrap()
    }

    pub(crate) fn emit(&self, kind: &str, data: &Value) {
        self.emit_raw(Message::text(json!({"type": kind, "data": data}).to_string()));
    }

    pub(crate) fn emit_raw(&self, message: Message) {
        let _ = self.events.send(Some(message));
    }

    pub(crate) fn cut_sockets(&self) {
        let _ = self.events.send(None);
    }

    /// Ends a prompt as ComfyUI does: history first, then the last message.
    pub(crate) fn finish(&self, id: &str, entry: Value) {
        self.with(|queue| queue.finish(id, entry));
        self.emit("executing", &json!({"node": null, "prompt_id": id}));
    }

    pub(crate) async fn until(&self, reached: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        let waiting = tokio::time::timeout(Duration::from_secs(10), seen.wait_for(reached));
        waiting.await.expect("the client never did what was waited for").unwrap().clone()
    }
}

impl Queue {
    pub(crate) fn finish(&mut self, id: &str, entry: Value) {
        self.running.retain(|other| other != id);
        self.pending.retain(|other| other != id);
        self.history.insert(id.to_owned(), entry);
    }
}

async fn socket(
    State(fake): State<Fake>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let mode = fake.with(|queue| queue.ws);
    fake.seen.send_modify(|seen| {
        seen.headers.push(headers);
        seen.client_ids.push(query["clientId"].clone());
    });
    match mode {
        Ws::Refuse => StatusCode::FORBIDDEN.into_response(),
        _ => upgrade.on_upgrade(move |socket| talk(fake, socket, mode == Ws::Silent)),
    }
}

async fn talk(fake: Fake, mut socket: WebSocket, silent: bool) {
    let mut events = fake.events.subscribe();
    if let Some(Ok(Message::Text(first))) = socket.recv().await {
        fake.seen.send_modify(|seen| seen.first_frames.push(first.to_string()));
    }
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(Some(message)) if !silent => {
                    if socket.send(message).await.is_err() { return }
                }
                Ok(Some(_)) => {}
                _ => return,
            },
            message = socket.recv() => if !matches!(message, Some(Ok(_))) { return },
        }
    }
}

fn cut() -> Response {
    let pieces =
        futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("cut"))]);
    Body::from_stream(pieces).into_response()
}

fn html() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "<html>oops</html>").into_response()
}

async fn submit(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    let prompt: Value = serde_json::from_slice(&body).unwrap();
    let id = prompt["prompt_id"].as_str().unwrap().to_owned();
    let mode = fake.with(|queue| {
        match queue.post {
            Post::CutOnly | Post::Html500 | Post::Reject => {}
            Post::Finish => queue.finish(&id, success()),
            _ if queue.running.is_empty() => queue.running.push(id.clone()),
            _ => queue.pending.push(id.clone()),
        }
        queue.post
    });
    fake.emit("status", &json!({"status": {}}));
    fake.seen.send_modify(|seen| {
        seen.prompts.push(prompt);
        seen.headers.push(headers);
    });
    let faults = json!({"1": {"class_type": "EmptyImage", "dependent_outputs": ["2"], "errors":
        [{"type": "value_smaller_than_min", "message": "m", "details": "width", "extra_info": {"input_name": "width"}}]}});
    match mode {
        Post::AcceptThenCut | Post::CutOnly => cut(),
        Post::AcceptThenHtml500 | Post::Html500 => html(),
        Post::Accept | Post::Finish => {
            json!({"prompt_id": id, "number": 1, "node_errors": {}}).to_string().into_response()
        }
        Post::AcceptPartly => json!({"prompt_id": id, "node_errors": faults}).to_string().into_response(),
        Post::Reject => {
            let error = json!({"type": "prompt_outputs_failed_validation", "message": "m", "details": ""});
            (StatusCode::BAD_REQUEST, json!({"error": error, "node_errors": faults}).to_string())
                .into_response()
        }
    }
}

async fn look(State(fake): State<Fake>) -> Response {
    fake.seen.send_modify(|seen| seen.looks += 1);
    fake.with(|queue| {
        if queue.broken {
            return html();
        }
        let items = |ids: &[String]| ids.iter().map(|id| json!([0, id, {}, {}, []])).collect::<Vec<_>>();
        let (running, pending) = (items(&queue.running), items(&queue.pending));
        json!({"queue_running": running, "queue_pending": pending}).to_string().into_response()
    })
}

async fn history(State(fake): State<Fake>, Path(id): Path<String>) -> String {
    let entry = fake.with(|queue| queue.history.get(&id).cloned());
    // What ComfyUI writes is Python's JSON.
    entry.map_or("{}".to_owned(), |entry| json!({ id: entry }).to_string().replace("\"<nan>\"", "NaN"))
}

async fn delete(State(fake): State<Fake>, body: Bytes) {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let ids = body["delete"].as_array().cloned().unwrap_or_default();
    fake.with(|queue| queue.pending.retain(|id| !ids.contains(&json!(id))));
    fake.seen.send_modify(|seen| seen.commands.push(("queue".to_owned(), body)));
}

async fn interrupt(State(fake): State<Fake>, body: Bytes) {
    let body: Value = serde_json::from_slice(&body).expect("an empty body would stop anyone's prompt");
    let id = body["prompt_id"].as_str().expect("an interrupt names its prompt").to_owned();
    if fake.with(|queue| queue.interruptible && queue.running.contains(&id)) {
        fake.finish(&id, interrupted());
    }
    fake.seen.send_modify(|seen| seen.commands.push(("interrupt".to_owned(), body)));
}

async fn view(State(fake): State<Fake>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    match query["filename"].as_str() {
        "a.png" => ([("content-type", "image/png")], "picture").into_response(),
        "short.png" => {
            let cut = async move {
                fake.cut.notified().await;
                Err(std::io::Error::other("cut"))
            };
            let first = futures_util::stream::once(async { Ok(Bytes::from_static(b"pic")) });
            let pieces = futures_util::StreamExt::chain(first, futures_util::stream::once(cut));
            ([("content-length", "10")], Body::from_stream(pieces)).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn upload(State(fake): State<Fake>, body: Bytes) -> String {
    fake.seen.send_modify(|seen| seen.upload = body.to_vec());
    json!({"name": "é.png", "subfolder": "s", "type": "input"}).to_string()
}
