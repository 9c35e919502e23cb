use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;
use uuid::Uuid;

use crate::{
    ClientConfig,
    dial::{Connection, dial},
    frame::{self, Frame},
    waiter::{Waiter, lock},
};

const FEATURES: &str = r#"{"type":"feature_flags","data":{"supports_preview_metadata":true}}"#;

/// The one connection to ComfyUI's socket, remade whenever it breaks.
pub(crate) struct Socket {
    shared: Arc<Shared>,
    tls: Arc<rustls::ClientConfig>,
    config: Arc<ClientConfig>,
    started: AtomicBool,
    stop: CancellationToken,
    _stop: DropGuard,
}

struct Shared {
    waiters: Mutex<HashMap<String, Arc<Waiter>>>,
    /// The client id of the open connection.
    connected: watch::Sender<Option<String>>,
    /// Counts `status` messages.
    status: watch::Sender<u64>,
    reconnect: Notify,
    malformed: AtomicU64,
    /// Counts events of prompts, anyone's.
    activity: AtomicU64,
}

impl Socket {
    pub(crate) fn new(config: Arc<ClientConfig>, tls: Arc<rustls::ClientConfig>) -> Self {
        let shared = Shared {
            waiters: Mutex::default(),
            connected: watch::Sender::new(None),
            status: watch::Sender::new(0),
            reconnect: Notify::new(),
            malformed: AtomicU64::new(0),
            activity: AtomicU64::new(0),
        };
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        Self { shared: Arc::new(shared), tls, config, started: AtomicBool::new(false), stop, _stop: guard }
    }

    pub(crate) fn malformed(&self) -> u64 {
        self.shared.malformed.load(Ordering::Relaxed)
    }

    /// Events of prompts so far. `status` does not count: a ComfyUI whose worker died still sends it.
    pub(crate) fn activity(&self) -> u64 {
        self.shared.activity.load(Ordering::Relaxed)
    }

    /// The client id of the open connection, opening one if need be, within `socket_wait`.
    pub(crate) async fn client_id(&self) -> Option<String> {
        if !self.started.swap(true, Ordering::Relaxed) {
            let (shared, config, tls) = (self.shared.clone(), self.config.clone(), self.tls.clone());
            let stop = self.stop.clone();
            tokio::spawn(async move {
                stop.run_until_cancelled(Box::pin(keep_connected(&shared, &config, tls))).await;
            });
        }
        let mut connected = self.shared.connected.subscribe();
        let open = timeout(self.config.socket_wait, connected.wait_for(Option::is_some)).await;
        open.ok()?.ok()?.clone()
    }

    /// Whether the connection with this client id is open.
    pub(crate) fn is_open(&self, client_id: &str) -> bool {
        self.shared.connected.borrow().as_deref() == Some(client_id)
    }

    pub(crate) fn register(&self, id: &str, waiter: Arc<Waiter>) {
        lock(&self.shared.waiters).insert(id.to_owned(), waiter);
    }

    pub(crate) fn waiter(&self, id: &str) -> Option<Arc<Waiter>> {
        lock(&self.shared.waiters).get(id).cloned()
    }

    /// Forgets a waiter, unless another submission took its id meanwhile.
    pub(crate) fn release(&self, id: &str, waiter: &Arc<Waiter>) {
        let mut waiters = lock(&self.shared.waiters);
        if waiters.get(id).is_some_and(|other| Arc::ptr_eq(other, waiter)) {
            waiters.remove(id);
        }
    }

    /// How many `status` messages came so far.
    pub(crate) fn statuses(&self) -> u64 {
        *self.shared.status.borrow()
    }

    /// Replaces the connection if it stays silent about a queue that changed after `before` statuses: a socket
    /// ComfyUI has forgotten stays open and says nothing for ever.
    pub(crate) fn expect_status(&self, client_id: String, before: u64) {
        let (shared, patience) = (self.shared.clone(), self.config.status_timeout);
        tokio::spawn(async move {
            let mut status = shared.status.subscribe();
            let heard = timeout(patience, status.wait_for(|count| *count > before)).await;
            if heard.is_err() && shared.connected.borrow().as_deref() == Some(&client_id) {
                debug!("the socket said nothing about a submission: reconnecting");
                shared.reconnect.notify_one();
            }
        });
    }
}

async fn keep_connected(shared: &Shared, config: &ClientConfig, tls: Arc<rustls::ClientConfig>) {
    let mut pause = config.reconnect_min;
    loop {
        // A client id used twice can lose its events for good, so each connection has its own.
        let client_id = Uuid::new_v4().simple().to_string();
        let opened = timeout(config.connect_timeout, open(config, tls.clone(), &client_id)).await;
        if let Ok(Ok(mut connection)) = opened {
            let since = Instant::now();
            shared.connected.send_replace(Some(client_id));
            read(shared, config, &mut connection).await;
            shared.connected.send_replace(None);
            for waiter in lock(&shared.waiters).values() {
                waiter.disconnected();
            }
            let _ = timeout(Duration::from_secs(1), connection.close(None)).await;
            // Only a connection that lasted earns a quick return.
            if since.elapsed() > config.reconnect_min * 30 {
                pause = config.reconnect_min;
            }
        } else {
            debug!("the socket did not open");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(config.reconnect_min * 30);
    }
}

async fn open(
    config: &ClientConfig,
    tls: Arc<rustls::ClientConfig>,
    client_id: &str,
) -> Result<Connection, tokio_tungstenite::tungstenite::Error> {
    let mut connection = dial(config, tls, client_id).await?;
    // Only the first frame may negotiate. Without it pictures do not say whose they are.
    connection.send(Message::text(FEATURES)).await?;
    Ok(connection)
}

/// Reads until the connection ends, is silent for two pings, or is to be replaced. Waits for nothing but the network.
async fn read(shared: &Shared, config: &ClientConfig, connection: &mut Connection) {
    let mut ping = interval_at(Instant::now() + config.ping_interval, config.ping_interval);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered = 0;
    loop {
        tokio::select! {
            message = connection.next() => match message {
                Some(Ok(message)) => {
                    unanswered = 0;
                    if !receive(shared, message) {
                        return;
                    }
                }
                Some(Err(_)) | None => return,
            },
            _ = ping.tick() => {
                unanswered += 1;
                let sent = timeout(config.connect_timeout, connection.send(Message::Ping(bytes::Bytes::new()))).await;
                if unanswered > 2 || !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            () = shared.reconnect.notified() => return,
        }
    }
}

/// Hands one message on. Answers whether there may be more.
fn receive(shared: &Shared, message: Message) -> bool {
    let frame = match message {
        Message::Text(text) => frame::text(text.as_bytes()),
        Message::Binary(body) => frame::binary(body),
        Message::Close(_) => return false,
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return true,
    };
    match frame {
        None => {
            shared.malformed.fetch_add(1, Ordering::Relaxed);
        }
        Some(Frame::Status) => shared.status.send_modify(|count| *count += 1),
        Some(Frame::Ignored) => {}
        Some(Frame::Prompt { id, signal }) => {
            shared.activity.fetch_add(1, Ordering::Relaxed);
            let waiter = lock(&shared.waiters).get(&id).cloned();
            if let Some(waiter) = waiter {
                waiter.signal(signal);
            }
        }
        Some(Frame::Text { node, text }) => {
            shared.activity.fetch_add(1, Ordering::Relaxed);
            // ComfyUI runs one prompt at a time, so text belongs to ours while ours runs.
            let waiters = lock(&shared.waiters);
            if let Some(waiter) = waiters.values().find(|waiter| waiter.running.load(Ordering::Relaxed)) {
                waiter.send(crate::Event::Text { node, text });
            }
        }
    }
    true
}
