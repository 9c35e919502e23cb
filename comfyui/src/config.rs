use std::{fmt, time::Duration};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// Headers sent with every request and with the WebSocket handshake. Their values never show in `Debug`.
#[derive(Clone, Default)]
pub struct Headers(pub(crate) HeaderMap);

impl Headers {
    /// Adds a header. Answers `false`, changing nothing, if the name or value is not a header's, or is one this
    /// client sets itself (`Host`, `Origin`).
    pub fn insert(&mut self, name: &str, value: &str) -> bool {
        let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        else {
            return false;
        };
        if name == reqwest::header::HOST || name == reqwest::header::ORIGIN {
            return false;
        }
        value.set_sensitive(true);
        self.0.insert(name, value);
        true
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Where a ComfyUI is and how patient to be with it.
#[derive(Clone)]
pub struct ClientConfig {
    /// `http://` or `https://`, with a path prefix if a proxy adds one. No user name, password or query.
    pub url: Url,
    /// Extra headers, authentication above all.
    pub headers: Headers,
    /// For the TCP and TLS handshakes. Default 5 s.
    pub connect_timeout: Duration,
    /// For a whole request and its answer, except uploads and downloads. Default 30 s.
    pub request_timeout: Duration,
    /// For a whole upload, besides a second for each 4 MiB. Default 5 min.
    pub upload_timeout: Duration,
    /// Longest silence within any answer. Default 60 s.
    pub read_timeout: Duration,
    /// Largest JSON answer read, in bytes. Default 64 MiB.
    pub max_body: usize,
    /// Largest file `view` streams, in bytes. Default 8 GiB.
    pub max_download: u64,
    /// Largest WebSocket message, in bytes; larger ones end the connection. Default 64 MiB.
    pub max_frame: usize,
    /// Most bytes kept per run of images that arrive over the socket (`SaveImageWebsocket`). Default 512 MiB.
    pub max_socket_images: usize,
    /// Events a run buffers for its reader. Previews are dropped when half of it is used. Default 256.
    pub event_buffer: usize,
    /// First interval between two looks at a run. Default 1 s.
    pub poll_min: Duration,
    /// Longest interval while the socket reports on the run. Default 5 s; without a socket at most twice `poll_min`.
    pub poll_max: Duration,
    /// How long a prompt may be in neither queue nor history before it counts as lost. Default 5 s.
    pub lost_grace: Duration,
    /// How long the running prompt may stay the same, without any event of any prompt, before the run counts as
    /// stalled. Events of other clients' prompts do not reach this one. `None` waits forever. Default 10 min.
    pub stall_after: Option<Duration>,
    /// How long all looks may fail before the run counts as unreachable. Default 60 s.
    pub unreachable_after: Duration,
    /// How long a submission waits for the socket before going without. Default 2 s.
    pub socket_wait: Duration,
    /// How soon after a submission the socket must have said `status`, or it is replaced. Default 2 s.
    pub status_timeout: Duration,
    /// How often the socket is pinged; two unanswered pings end the connection. Default 20 s.
    pub ping_interval: Duration,
    /// First pause before reconnecting the socket; it doubles up to thirty times this. Default 500 ms.
    pub reconnect_min: Duration,
    /// Looks at queue and history after an unclear answer to a submission. Default 3, `poll_min` apart.
    pub lookups: u32,
    /// How long `cancel` waits for the prompt to be gone. Default 10 s.
    pub cancel_timeout: Duration,
}

impl ClientConfig {
    /// The defaults for a ComfyUI at `url`.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            headers: Headers::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_mins(5),
            read_timeout: Duration::from_mins(1),
            max_body: 64 << 20,
            max_download: 8 << 30,
            max_frame: 64 << 20,
            max_socket_images: 512 << 20,
            event_buffer: 256,
            poll_min: Duration::from_secs(1),
            poll_max: Duration::from_secs(5),
            lost_grace: Duration::from_secs(5),
            stall_after: Some(Duration::from_mins(10)),
            unreachable_after: Duration::from_mins(1),
            socket_wait: Duration::from_secs(2),
            status_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(20),
            reconnect_min: Duration::from_millis(500),
            lookups: 3,
            cancel_timeout: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("host", &self.url.host_str())
            .field("port", &self.url.port_or_known_default())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}
