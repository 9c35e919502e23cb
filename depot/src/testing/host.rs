//! A host that answers as it is told, and remembers who came.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use url::Url;

use crate::Sha256;

/// A host on a port of this machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its address.
    pub url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Such as `GET`.
    pub method: String,
    /// The path, and what follows it.
    pub target: String,
    /// Its headers, by names in small letters.
    pub headers: BTreeMap<String, String>,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers, `Content-Length` excepted.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The length that is told, if it is not that of the body; `None` within for none at all.
    pub length: Option<Option<u64>>,
    /// After how many bytes of the body the connection ends.
    pub cut: Option<usize>,
    /// After how many bytes of the body it stops, until it is told to go on.
    pub hold: Option<(usize, Arc<Notify>)>,
}

impl Seen {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

impl Reply {
    /// With a status and a body.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// A redirect.
    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::new(status, "").with("location", to)
    }

    /// A file or the part of it that is asked for, as hosts do that know of parts.
    pub fn file(seen: &Seen, content: &Bytes, etag: &str) -> Self {
        if seen.header("if-none-match") == Some(etag) {
            return Self::new(304, "").with("etag", etag);
        }
        let range = seen.header("range").filter(|_| seen.header("if-range").is_none_or(|old| old == etag));
        let bounds = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let bounds =
            bounds.and_then(|(first, last)| Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok())));
        let total = content.len();
        match bounds {
            None => Self::new(200, content.clone()),
            Some((first, _)) if first >= total => {
                Self::new(416, "").with("content-range", format!("bytes */{total}"))
            }
            Some((first, last)) => {
                let last = last.unwrap_or(total).min(total - 1);
                let part = content.slice(first..=last);
                Self::new(206, part).with("content-range", format!("bytes {first}-{last}/{total}"))
            }
        }
        .with("etag", etag)
        .with("accept-ranges", "bytes")
    }
}

impl Host {
    /// Answers each request with what `answer` makes of it. It needs a runtime, and ends with it.
    pub async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let host = Self { url, seen: Arc::clone(&seen) };
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                tokio::spawn(async move { serve(stream, &*answer, &seen).await });
            }
        });
        host
    }

    /// An address of it.
    pub fn at(&self, path: &str) -> String {
        self.url.join(path).unwrap().into()
    }

    /// The requests that came, in their order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&Seen) -> Reply + Send + Sync),
    log: &Mutex<Vec<Seen>>,
) {
    let Some(seen) = read(&mut stream).await else { return };
    log.lock().unwrap().push(seen.clone());
    let reply = answer(&seen);
    let mut head = format!("HTTP/1.1 {} Something\r\nconnection: close\r\n", reply.status);
    if let Some(length) = reply.length.unwrap_or(Some(reply.body.len() as u64)) {
        head.push_str(&format!("content-length: {length}\r\n"));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if stream.write_all(head.as_bytes()).await.is_err() || seen.method == "HEAD" || reply.status == 304 {
        return;
    }
    let end = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
    let held = reply.hold.as_ref().map_or(end, |(at, _)| (*at).min(end));
    // Whoever has enough hangs up.
    if stream.write_all(&reply.body[..held]).await.is_err() {
        return;
    }
    if let Some((_, go_on)) = &reply.hold {
        go_on.notified().await;
    }
    let _ = stream.write_all(&reply.body[held..end]).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Some(Seen { method, target, headers })
}

/// What a host of files does wrong, once.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// A byte of the body is another.
    Corrupt(usize),
    /// It announces so many bytes more, or less, than it has.
    Length(i64),
    /// It does not say how many bytes it has.
    NoLength,
    /// It sends all of the file, whatever part was asked for.
    WholeFile,
    /// It answers with a status, and headers.
    Status(u16, Vec<(String, String)>),
    /// It has other content from now on, and says so by another `ETag`.
    Replace(Bytes),
    /// It sends a web page.
    Page,
    /// It stops after so many bytes, until it is told to go on.
    Hold(usize, Arc<Notify>),
}

/// A host of files, with signed addresses if it is one of storage.
#[derive(Debug, Clone)]
pub struct FileHost {
    /// The host.
    pub host: Host,
    state: Arc<Mutex<Shelves>>,
}

#[derive(Debug, Default)]
struct Shelves {
    files: BTreeMap<String, Bytes>,
    faults: VecDeque<Fault>,
    /// Tickets that are still good; `None` if none is needed.
    tickets: Option<Vec<u64>>,
}

impl FileHost {
    /// Anybody may have its files.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(Shelves::default()));
        let files = Arc::clone(&state);
        let host = Host::start(move |seen| files.lock().unwrap().answer(seen)).await;
        Self { host, state }
    }

    /// A ticket is needed for each address.
    pub async fn signed() -> Self {
        let host = Self::start().await;
        host.state.lock().unwrap().tickets = Some(Vec::new());
        host
    }

    /// Has a file at a path.
    pub fn put(&self, path: &str, content: impl Into<Bytes>) {
        self.state.lock().unwrap().files.insert(path.to_owned(), content.into());
    }

    /// Does something wrong with the next request that nothing else is done wrong with.
    pub fn fault(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push_back(fault);
    }

    /// An address with a new ticket.
    pub fn sign(&self, path: &str) -> String {
        let ticket = fastrand::u64(..);
        self.state.lock().unwrap().tickets.get_or_insert_default().push(ticket);
        self.host.at(&format!("{path}?X-Signature={ticket}&X-Expires=300"))
    }

    /// All tickets are over.
    pub fn expire(&self) {
        self.state.lock().unwrap().tickets = Some(Vec::new());
    }
}

impl Shelves {
    fn answer(&mut self, seen: &Seen) -> Reply {
        if seen.method == "GET" && seen.header("authorization").is_some() && self.tickets.is_some() {
            // As storage does that finds two ways of saying who asks.
            return Reply::new(400, "Only one auth mechanism allowed");
        }
        if let Some(tickets) = &self.tickets
            && !tickets.iter().any(|ticket| seen.target.contains(&format!("X-Signature={ticket}&")))
        {
            return Reply::new(403, "Request has expired");
        }
        let fault = self.faults.pop_front();
        if let Some(Fault::Replace(content)) = &fault {
            self.files.insert(seen.path().to_owned(), content.clone());
        }
        let Some(content) = self.files.get(seen.path()) else { return Reply::new(404, "") };
        let etag = format!("\"{}\"", Sha256::of(content));
        let file = Reply::file(seen, content, &etag);
        let length = file.body.len();
        match fault {
            None | Some(Fault::Replace(_)) => file,
            Some(Fault::Cut(at)) => Reply { cut: Some(at), ..file },
            Some(Fault::Corrupt(at)) => {
                let mut body = file.body.to_vec();
                body[at] ^= 1;
                Reply { body: body.into(), ..file }
            }
            Some(Fault::Length(more)) => {
                Reply { length: Some((length as u64).checked_add_signed(more)), ..file }
            }
            Some(Fault::NoLength) => Reply { length: Some(None), ..file },
            Some(Fault::WholeFile) => Reply::new(200, content.clone()).with("etag", etag),
            Some(Fault::Status(status, headers)) => Reply { headers, ..Reply::new(status, "") },
            Some(Fault::Page) => {
                Reply::new(200, "<!DOCTYPE html><title>Log in</title>").with("content-type", "text/html")
            }
            Some(Fault::Hold(at, go_on)) => Reply { hold: Some((at, go_on)), ..file },
        }
    }
}
