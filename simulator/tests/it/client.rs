//! A client that knows just enough HTTP and WebSocket to see every byte of the answers.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Status, head and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}\n{}", self.head, self.text()))
    }
}

/// Sends a request and reads until the connection closes.
pub(crate) async fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut off still has what came before.
    let _ = stream.read_to_end(&mut answer).await;
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, body: answer.get(split + 4..).unwrap_or_default().to_vec(), head }
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    request(addr, "GET", path, "", b"").await
}

pub(crate) async fn post(addr: SocketAddr, path: &str, body: &Value) -> Answer {
    request(addr, "POST", path, "Content-Type: application/json\r\n", body.to_string().as_bytes()).await
}

/// Uploads a file as the editor does.
pub(crate) async fn upload(addr: SocketAddr, name: &str, data: &[u8], more: &str) -> Answer {
    let disposition = "Content-Disposition: form-data; name=\"image\"";
    let body = [
        format!("--b\r\n{disposition}; filename=\"{name}\"\r\n\r\n").as_bytes(),
        data,
        format!("\r\n{more}--b--\r\n").as_bytes(),
    ]
    .concat();
    request(addr, "POST", "/upload/image", "Content-Type: multipart/form-data; boundary=b\r\n", &body).await
}

/// What came over a WebSocket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Pong,
    Closed,
}

pub(crate) struct Socket {
    stream: TcpStream,
}

impl Socket {
    pub(crate) async fn open(addr: SocketAddr, client: &str) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let head = format!(
            "GET /ws?clientId={client} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        Self { stream }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        // Masked with zeros: a mask all the same.
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.stream.write_all(&frame).await.unwrap();
    }

    /// All frames that were sent before now, as far as they are for this socket: those before the answer to a ping.
    pub(crate) async fn so_far(&mut self) -> Vec<Frame> {
        self.stream.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
        let mut frames = Vec::new();
        loop {
            match self.frame().await {
                Frame::Pong => return frames,
                Frame::Closed => panic!("closed after {frames:?}"),
                frame => frames.push(frame),
            }
        }
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        let Ok(first) = self.stream.read_u8().await else { return Frame::Closed };
        let length = match self.stream.read_u8().await.unwrap() {
            126 => u64::from(self.stream.read_u16().await.unwrap()),
            127 => self.stream.read_u64().await.unwrap(),
            length => u64::from(length),
        };
        let mut data = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut data).await.unwrap();
        match first & 0x0F {
            1 => Frame::Text(String::from_utf8(data).unwrap()),
            2 => Frame::Binary(data),
            10 => Frame::Pong,
            _ => Frame::Closed,
        }
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Value {
        match self.frame().await {
            Frame::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// All frames up to the last one of a prompt.
    pub(crate) async fn until_done(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await;
            let done = match &frame {
                Frame::Text(text) => {
                    text.starts_with(r#"{"type": "executing", "data": {"node": null, "prompt_id""#)
                }
                Frame::Closed => true,
                Frame::Binary(_) | Frame::Pong => false,
            };
            frames.push(frame);
            if done {
                return frames;
            }
        }
    }
}

/// The kinds of frames, those of progress with what they say.
pub(crate) fn kinds(frames: &[Frame]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| match frame {
            Frame::Text(text) => {
                let event: Value = serde_json::from_str(text).unwrap();
                let kind = event["type"].as_str().unwrap();
                match &event["data"]["node"] {
                    Value::String(node) => format!("{kind} {node}"),
                    _ => kind.to_owned(),
                }
            }
            Frame::Binary(data) => format!("binary {}", data[3]),
            Frame::Pong => "pong".to_owned(),
            Frame::Closed => "closed".to_owned(),
        })
        .collect()
}

/// Submits a prompt under an id, for a client unless its name is empty.
pub(crate) async fn submit(addr: SocketAddr, prompt: &Value, client: &str, prompt_id: &str) {
    let mut body = serde_json::json!({"prompt": prompt, "prompt_id": prompt_id});
    if !client.is_empty() {
        body["client_id"] = Value::from(client);
    }
    let answer = post(addr, "/prompt", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Asks until the history has a prompt.
pub(crate) async fn finished(addr: SocketAddr, prompt_id: &str) -> Value {
    loop {
        let entry = get(addr, &format!("/history/{prompt_id}")).await.json();
        if let Some(entry) = entry.get(prompt_id) {
            return entry.clone();
        }
        tokio::task::yield_now().await;
    }
}
