//! The open WebSockets, by client id.

use std::sync::{Mutex, PoisonError};

use axum::extract::ws::{Message, Utf8Bytes};
use bytes::Bytes;
use indexmap::IndexMap;
use tokio::sync::{mpsc::UnboundedSender, watch};

#[derive(Debug)]
struct Client {
    sender: UnboundedSender<Message>,
    /// Whether it asked for previews that say which node they are of.
    previews_with_metadata: bool,
}

/// Who a message goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum To<'a> {
    /// Every socket.
    All,
    /// The socket with this id, if there is one.
    Client(&'a str),
}

/// The table of sockets.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    clients: Mutex<IndexMap<String, Client>>,
    /// Changes when all sockets are to close, those that are in the table no more included.
    dropped: watch::Sender<()>,
}

impl Hub {
    /// Enters a socket. One with the same id loses its events to it, and stays open. The answer changes when the
    /// socket is to close.
    pub(crate) fn add(&self, sid: &str, sender: UnboundedSender<Message>) -> watch::Receiver<()> {
        self.with(|clients| {
            clients.insert(sid.to_owned(), Client { sender, previews_with_metadata: false });
            self.dropped.subscribe()
        })
    }

    /// Removes whatever socket has this id, be it the one that closed or a newer one: so does ComfyUI.
    pub(crate) fn remove(&self, sid: &str) {
        self.with(|clients| clients.shift_remove(sid));
    }

    /// Closes all sockets.
    pub(crate) fn drop_all(&self) {
        self.with(|clients| {
            clients.clear();
            self.dropped.send_replace(());
        });
    }

    pub(crate) fn set_features(&self, sid: &str, previews_with_metadata: bool) {
        self.with(|clients| {
            if let Some(client) = clients.get_mut(sid) {
                client.previews_with_metadata = previews_with_metadata;
            }
        });
    }

    /// Whether anybody would get a message.
    pub(crate) fn reaches(&self, to: To<'_>) -> bool {
        self.with(|clients| match to {
            To::All => !clients.is_empty(),
            To::Client(sid) => clients.contains_key(sid),
        })
    }

    pub(crate) fn text(&self, text: impl Into<Utf8Bytes>, to: To<'_>) {
        self.send(to, Message::Text(text.into()));
    }

    /// Sends bytes as they are.
    pub(crate) fn binary(&self, data: Bytes, to: To<'_>) {
        self.send(to, Message::Binary(data));
    }

    /// Whether a client asked for metadata. What goes to all has none, whoever asked.
    pub(crate) fn wants_metadata(&self, to: To<'_>) -> bool {
        self.with(|clients| match to {
            To::All => false,
            To::Client(sid) => clients.get(sid).is_some_and(|client| client.previews_with_metadata),
        })
    }

    fn send(&self, to: To<'_>, message: Message) {
        self.with(|clients| {
            // A socket that is closing is removed by its own task.
            let send = |client: &Client| drop(client.sender.send(message.clone()));
            match to {
                To::All => clients.values().for_each(send),
                To::Client(sid) => clients.get(sid).into_iter().for_each(send),
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut IndexMap<String, Client>) -> T) -> T {
        act(&mut self.clients.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
