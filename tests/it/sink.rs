//! A receiver of webhooks that remembers everything, and misbehaves on request.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// How it answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Status(u16),
    /// A status and a header.
    With(u16, &'static str, String),
    /// Not at all.
    Hang,
    /// By resetting the connection.
    Reset,
    /// With 200 and so many bytes.
    Bytes(u64),
}

/// What it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn event(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }
}

#[derive(Debug, Default)]
struct Script {
    next: HashMap<String, VecDeque<Reply>>,
    always: HashMap<String, Reply>,
}

/// A receiver on a port of its own. It answers 204 unless told otherwise.
#[derive(Debug)]
pub(crate) struct Sink {
    url: String,
    script: Arc<Mutex<Script>>,
    heard: Arc<watch::Sender<Vec<Heard>>>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (script, heard) = (Arc::<Mutex<Script>>::default(), Arc::new(watch::Sender::default()));
        let (its_script, its_heard) = (Arc::clone(&script), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, Arc::clone(&its_script), Arc::clone(&its_heard)));
            }
        });
        Self { url, script, heard }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The next answers at a path.
    pub(crate) fn says(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().next.entry(path.to_owned()).or_default().extend(replies);
    }

    /// All further answers at a path.
    pub(crate) fn always_says(&self, path: &str, reply: Reply) {
        self.script.lock().unwrap().always.insert(path.to_owned(), reply);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.borrow().clone()
    }

    pub(crate) fn heard_at(&self, path: &str) -> Vec<Heard> {
        self.heard().into_iter().filter(|heard| heard.path == path).collect()
    }

    /// Waits until what it was sent is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&[Heard]) -> bool) -> Vec<Heard> {
        let mut all = self.heard.subscribe();
        let waiting = tokio::time::timeout(Duration::from_mins(1), all.wait_for(|heard| wanted(heard)));
        match waiting.await {
            Ok(heard) => heard.unwrap().clone(),
            Err(late) => panic!("{late}; only this was sent: {:#?}", self.heard()),
        }
    }

    /// Waits for so many requests at a path.
    pub(crate) async fn until_at(&self, path: &str, count: usize) -> Vec<Heard> {
        let at = |all: &[Heard]| all.iter().filter(|one| one.path == path).cloned().collect::<Vec<_>>();
        at(&self.until(|all| at(all).len() >= count).await)
    }
}

async fn receive(
    mut stream: TcpStream,
    script: Arc<Mutex<Script>>,
    heard: Arc<watch::Sender<Vec<Heard>>>,
) -> std::io::Result<()> {
    let Some(request) = read(&mut stream).await? else { return Ok(()) };
    let reply = {
        let mut script = script.lock().unwrap();
        let next = script.next.get_mut(&request.path).and_then(VecDeque::pop_front);
        next.or_else(|| script.always.get(&request.path).cloned()).unwrap_or(Reply::Status(204))
    };
    heard.send_modify(|all| all.push(request));
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\nconnection: close\r\n{more}\r\n");
    match reply {
        Reply::Status(204) => stream.write_all(head(204, "").as_bytes()).await?,
        Reply::Status(status) => stream.write_all(head(status, "content-length: 0\r\n").as_bytes()).await?,
        Reply::With(status, name, value) => {
            let more = format!("content-length: 0\r\n{name}: {value}\r\n");
            stream.write_all(head(status, &more).as_bytes()).await?;
        }
        Reply::Hang => {
            // Until the other side has had enough.
            stream.read_u8().await.ok();
        }
        Reply::Reset => {
            stream.set_zero_linger()?;
        }
        Reply::Bytes(length) => {
            stream.write_all(head(200, &format!("content-length: {length}\r\n")).as_bytes()).await?;
            let chunk = vec![b'x'; 64 << 10];
            let mut left = length;
            while left > 0 {
                stream.write_all(&chunk).await?;
                left = left.saturating_sub(chunk.len() as u64);
            }
        }
    }
    Ok(())
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Heard>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        stream.read_buf(&mut body).await?;
    }
    Ok(Some(Heard { path, headers, body, at: Instant::now() }))
}
