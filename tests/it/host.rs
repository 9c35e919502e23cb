//! A host of files that does what a test says, and counts who comes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What is at a path.
#[derive(Debug, Clone)]
pub(crate) enum There {
    File(Vec<u8>),
    /// These bytes, and then zeros up to this size.
    Long(Vec<u8>, u64),
    Status(u16),
    /// A status and a header.
    With(u16, &'static str, String),
}

/// A host on a port of its own.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) port: u16,
    connects: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Host {
    pub(crate) async fn new(files: &[(&str, There)]) -> Self {
        let files: BTreeMap<String, There> =
            files.iter().map(|(path, there)| ((*path).to_owned(), there.clone())).collect();
        let files = Arc::new(files);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connects, heads) = (Arc::new(AtomicUsize::new(0)), Arc::<Mutex<Vec<String>>>::default());
        let (counted, noted) = (Arc::clone(&connects), Arc::clone(&heads));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream, Arc::clone(&files), Arc::clone(&noted)));
            }
        });
        Self { port, connects, heads }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How often somebody came, since this was asked for the last time.
    pub(crate) fn connects(&self) -> usize {
        self.connects.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, files: Arc<BTreeMap<String, There>>, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let there = files.get(path.split('?').next().unwrap_or_default()).cloned();
    heads.lock().unwrap().push(head);
    let (status, header, data, length) = match there.unwrap_or(There::Status(404)) {
        There::File(data) => (200, String::new(), data.clone(), data.len() as u64),
        There::Long(data, length) => (200, String::new(), data, length),
        There::Status(status) => (status, String::new(), Vec::new(), 0),
        There::With(status, name, value) => (status, format!("{name}: {value}\r\n"), Vec::new(), 0),
    };
    // Declared as something that it is not: nobody should care.
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: image/png\r\ncontent-length: {length}\r\n{header}\r\n"
    );
    if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&data).await.is_err() {
        return;
    }
    let (zeros, mut left) = (vec![0; 1 << 20], length.saturating_sub(data.len() as u64));
    while left > 0 {
        let piece = usize::try_from(left.min(zeros.len() as u64)).unwrap();
        if stream.write_all(&zeros[..piece]).await.is_err() {
            return;
        }
        left -= piece as u64;
    }
}
