//! A way between two programs that loses, keeps and delays what goes over it.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What the way does to what goes over it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mode {
    /// How many of a hundred requests are lost before they arrive.
    pub(crate) lost_requests: u8,
    /// How many of a hundred answers are lost after what was asked for is done.
    pub(crate) lost_replies: u8,
    /// Only requests that begin so are lost.
    pub(crate) of: &'static str,
    /// Each piece of an answer, and each frame of a socket, takes up to this long.
    pub(crate) delay: Duration,
    /// Of a hundred pieces after an answer began, so many end the connection: for sockets, whose answer never ends.
    pub(crate) lost_frames: u8,
}

/// The way. It ends with the runtime.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: u16,
    mode: Mutex<Mode>,
    random: Mutex<fastrand::Rng>,
    lost: Mutex<usize>,
}

impl Proxy {
    pub(crate) async fn new(target: u16, seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let shared = Arc::new(Shared { target, mode: Mutex::default(), random, lost: Mutex::new(0) });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).carry(stream));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// How much was lost so far.
    pub(crate) fn lost(&self) -> usize {
        *self.shared.lost.lock().unwrap()
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        self.mode.lock().unwrap().clone()
    }

    fn strikes(&self, of_hundred: u8) -> bool {
        let strikes = of_hundred > 0 && self.random.lock().unwrap().u8(0..100) < of_hundred;
        *self.lost.lock().unwrap() += usize::from(strikes);
        strikes
    }

    async fn carry(self: Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target)).await else { return };
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Whether the answer to come is to be lost.
        let doomed = Mutex::new(false);
        tokio::select! {
            _ = self.requests(from_client, to_server, &doomed) => {}
            _ = self.replies(from_server, to_client, &doomed) => {}
        }
    }

    async fn requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        doomed: &Mutex<bool>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let mode = self.mode();
            if buffer.starts_with(mode.of.as_bytes()) {
                if self.strikes(mode.lost_requests) {
                    return Ok(());
                }
                *doomed.lock().unwrap() = self.strikes(mode.lost_replies);
            }
            to.write_all(&buffer[..read]).await?;
        }
    }

    async fn replies(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        doomed: &Mutex<bool>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        let mut is_socket = false;
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 || *doomed.lock().unwrap() {
                return Ok(());
            }
            let mode = self.mode();
            if is_socket && self.strikes(mode.lost_frames) {
                return Ok(());
            }
            is_socket |= buffer[..read].starts_with(b"HTTP/1.1 101");
            if is_socket && !mode.delay.is_zero() {
                let micros = self.random.lock().unwrap().u64(0..mode.delay.as_micros() as u64);
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            to.write_all(&buffer[..read]).await?;
        }
    }
}
