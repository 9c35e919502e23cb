//! One try of one delivery.

use std::{error::Error, time::Duration};

use comfyport_store::deliveries::Delivery;
use http::{HeaderValue, header};
use reqwest::{Response, redirect};

use super::Keys;

/// So much of an answer is read, so that the connection can be used again; what it says does not matter.
const READ: usize = 16 << 10;

/// The longest account of what went wrong, in characters.
const SAID: usize = 200;

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The receiver answered.
    Status {
        /// The status.
        code: u16,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It did not, and why.
    Nothing(String),
    /// It may not be asked.
    Forbidden,
}

/// Sends to receivers.
#[derive(Debug)]
pub(super) struct Post {
    http: reqwest::Client,
    keys: Keys,
    timeout: Duration,
}

impl Post {
    pub(super) fn new(keys: Keys, timeout: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(comfyport_comfyui::tls())
            .hickory_dns(true)
            // Neither the environment nor an answer may send what we have to say to another host.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(timeout)
            .user_agent(concat!("comfyport/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, keys, timeout })
    }

    pub(super) async fn send(&self, delivery: &Delivery) -> Answer {
        let now = jiff::Timestamp::now().as_second();
        let Ok(mut signature) = HeaderValue::from_str(&self.keys.sign(&delivery.id, now, &delivery.body))
        else {
            return Answer::Nothing("the delivery cannot be signed".to_owned());
        };
        signature.set_sensitive(true);
        let request = self
            .http
            .post(&delivery.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(delivery.body.clone());
        match request.send().await {
            Ok(response) => {
                let answer =
                    Answer::Status { code: response.status().as_u16(), retry_after: retry_after(&response) };
                skim(response).await;
                answer
            }
            Err(error) => Answer::Nothing(self.words(&error)),
        }
    }

    /// What went wrong, without the address.
    fn words(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {} s", self.timeout.as_secs());
        }
        let what = if error.is_connect() { "it cannot be reached" } else { "the connection broke" };
        let mut cause: &dyn Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let cause = cause.to_string();
        format!("{what}: {cause}")
            .chars()
            .map(|one| if one.is_control() { ' ' } else { one })
            .take(SAID)
            .collect()
    }
}

/// Reads the beginning of an answer. Whatever happens meanwhile, the status has been said.
async fn skim(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read >= READ {
            return;
        }
    }
}

/// `Retry-After` in seconds or as a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}
