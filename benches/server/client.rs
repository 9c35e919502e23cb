//! The two ways to the same picture, and a plain socket for counting rejections.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

const GRAPH: &str = include_str!("../../workflow_templates/sd15/txt2img.json");
const SIDE: u64 = 64;

/// A client that speaks ComfyUI's protocol itself.
pub(crate) struct Direct {
    http: reqwest::Client,
    url: String,
    client_id: String,
    socket: Socket,
    graph: Value,
}

impl Direct {
    pub(crate) async fn connect(url: &str) -> Self {
        let client_id = uuid::Uuid::new_v4().simple().to_string();
        let address = format!("{}/ws?clientId={client_id}", url.replace("http://", "ws://"));
        let (mut socket, _) = connect_async(address).await.unwrap();
        let flags = json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}});
        socket.send(Message::text(flags.to_string())).await.unwrap();
        let graph = serde_json::from_str(GRAPH).unwrap();
        Self { http: reqwest::Client::new(), url: url.to_owned(), client_id, socket, graph }
    }

    pub(crate) async fn run(&mut self, seed: u64) {
        let prompt_id = uuid::Uuid::new_v4().to_string();
        let mut graph = self.graph.clone();
        graph["3"]["inputs"]["seed"] = json!(seed);
        graph["5"]["inputs"]["width"] = json!(SIDE);
        graph["5"]["inputs"]["height"] = json!(SIDE);
        graph["9"]["inputs"]["filename_prefix"] = json!(format!("direct/{prompt_id}"));
        let body =
            json!({"prompt": graph, "client_id": self.client_id, "prompt_id": prompt_id, "extra_data": {}});
        let answer = self.http.post(format!("{}/prompt", self.url)).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        answer.bytes().await.unwrap();
        self.wait(&prompt_id).await;
        let history: Value = self.get(&format!("/history/{prompt_id}")).await.json().await.unwrap();
        let image = &history[&prompt_id]["outputs"]["9"]["images"][0];
        let (name, folder) = (image["filename"].as_str().unwrap(), image["subfolder"].as_str().unwrap());
        let view = self.get(&format!("/view?filename={name}&subfolder={folder}&type=output")).await;
        assert!(view.bytes().await.unwrap().starts_with(b"\x89PNG"));
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap().error_for_status().unwrap()
    }

    async fn wait(&mut self, prompt_id: &str) {
        loop {
            let Message::Text(text) = self.socket.next().await.unwrap().unwrap() else { continue };
            let event: Value = serde_json::from_str(&text).unwrap();
            let done = event["type"] == "executing" && event["data"]["node"].is_null();
            if done && event["data"]["prompt_id"] == prompt_id {
                return;
            }
        }
    }
}

/// A client of the typed endpoint, asking for the picture itself.
#[derive(Clone)]
pub(crate) struct Endpoint {
    http: reqwest::Client,
    url: String,
}

impl Endpoint {
    pub(crate) fn new(url: &str) -> Self {
        Self { http: reqwest::Client::new(), url: format!("{url}/sd15/txt2img") }
    }

    pub(crate) async fn run(&self, seed: u64) {
        let body = json!({"prompt": "a lighthouse", "seed": seed, "width": SIDE, "height": SIDE});
        let request = self.http.post(&self.url).header("accept", "image/png").json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap();
        assert!(status.is_success(), "{}", String::from_utf8_lossy(&bytes));
        assert!(bytes.starts_with(b"\x89PNG"));
    }
}

/// One keep-alive connection that reads just enough of each answer to count it.
pub(crate) struct Raw {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

impl Raw {
    pub(crate) fn connect(url: &str) -> Self {
        let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, host, buffer: vec![0; 65536] }
    }

    pub(crate) fn request(&self, path: &str, body: &str) -> Vec<u8> {
        format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )
        .into_bytes()
    }

    /// Sends the request and returns the status of the answer, whose body must have a content length.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> u16 {
        self.stream.write_all(request).unwrap();
        let mut filled = 0;
        loop {
            filled += self.stream.read(&mut self.buffer[filled..]).unwrap();
            let head_end = self.buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n");
            let Some(head_end) = head_end else { continue };
            let head = std::str::from_utf8(&self.buffer[..head_end]).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if filled >= head_end + 4 + length.expect("a content length") {
                return head[9..12].parse().unwrap();
            }
        }
    }
}
