//! A host that does what the test says, and remembers who came.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A host on a port of this machine.
pub(crate) struct Host {
    pub(crate) port: u16,
    connects: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Host {
    /// Answers each request with what `answer` makes of its path.
    pub(crate) async fn new(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", answer).await
    }

    pub(crate) async fn on(address: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::raw(address, move |mut stream, head| {
            let answer = Arc::clone(&answer);
            async move {
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                // Whoever has enough hangs up.
                let _ = stream.write_all(&answer(&path)).await;
            }
        })
        .await
    }

    /// Does as it likes with each connection, once a head was read.
    pub(crate) async fn raw<W, F>(address: &str, act: W) -> Self
    where
        W: Fn(TcpStream, String) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connects, heads) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let host = Self { port, connects: Arc::clone(&connects), heads: Arc::clone(&heads) };
        let act = Arc::new(act);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connects.fetch_add(1, Ordering::SeqCst);
                let (act, heads) = (Arc::clone(&act), Arc::clone(&heads));
                tokio::spawn(async move {
                    let Some(head) = head(&mut stream).await else { return };
                    heads.lock().unwrap().push(head.clone());
                    act(stream, head).await;
                });
            }
        });
        host
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn connects(&self) -> usize {
        self.connects.load(Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// The head of a request.
pub(crate) async fn head(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).to_lowercase())
}

/// An answer that ends the connection.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

pub(crate) fn file(body: &[u8]) -> Vec<u8> {
    answer("200 OK", &format!("content-length: {}\r\n", body.len()), body)
}

pub(crate) fn redirect(status: u16, location: &str) -> Vec<u8> {
    answer(&format!("{status} Elsewhere"), &format!("location: {location}\r\ncontent-length: 0\r\n"), b"")
}
