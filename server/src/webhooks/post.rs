//! One try of one delivery.

use std::{error::Error, time::Duration};

use comfyport_fetch::{Approved, Client, FetchError};
use comfyport_store::deliveries::Delivery;
use http::{HeaderValue, header};
use reqwest::{Method, Response};

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
    client: Client,
    keys: Keys,
    timeout: Duration,
}

impl Post {
    pub(super) fn new(client: Client, keys: Keys, timeout: Duration) -> Self {
        Self { client, keys, timeout }
    }

    pub(super) async fn send(&self, delivery: &Delivery, target: &Approved) -> Answer {
        let now = jiff::Timestamp::now().as_second();
        let Ok(mut signature) = HeaderValue::from_str(&self.keys.sign(&delivery.id, now, &delivery.body))
        else {
            return Answer::Nothing("the delivery cannot be signed".to_owned());
        };
        signature.set_sensitive(true);
        let request = self
            .client
            .request(Method::POST, target)
            .timeout(self.timeout)
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
            // What the name stands for now is not public.
            Err(error) if FetchError::refusal(&error).is_some() => Answer::Forbidden,
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

#[cfg(test)]
mod tests {
    use std::{
        io,
        net::IpAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use comfyport_fetch::{Guard, Lookup, Policy};
    use comfyport_store::deliveries::DeliveryState;
    use futures_util::{FutureExt, future::BoxFuture};
    use tokio::net::TcpListener;

    use super::*;

    /// Public when it is asked for the first time, loopback from then on.
    #[derive(Debug, Default)]
    struct Rebinding(AtomicUsize);

    impl Lookup for Rebinding {
        fn addresses(&self, _: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
            let address =
                if self.0.fetch_add(1, Ordering::SeqCst) == 0 { [192, 0, 2, 7] } else { [127, 0, 0, 1] };
            async move { Ok(vec![address.into(), [127, 0, 0, 1].into()]) }.boxed()
        }
    }

    #[tokio::test]
    async fn names_that_lead_inside_are_not_dialled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://rebinding.example:{}/hook", listener.local_addr().unwrap().port());
        let guard = Guard::new(Policy { http: false, ..Policy::default() });
        let approved = guard.judge(&url).unwrap();
        let (lookup, timeout) = (Arc::new(Rebinding::default()), Duration::from_secs(5));
        let client = Client::new(guard, Arc::clone(&lookup) as _, comfyport_comfyui::tls(), timeout).unwrap();
        let secret = crate::webhooks::fresh_secret().unwrap();
        let post = Post::new(client, Keys::read([secret.as_str()]).unwrap(), timeout);
        let delivery = Delivery {
            seq: 1,
            id: "msg_1".to_owned(),
            job: uuid::Uuid::new_v4(),
            event: "job.queued".to_owned(),
            url,
            body: "{}".to_owned(),
            state: DeliveryState::Pending,
            attempts: 0,
            due_at: 0,
            created_at: 0,
            ended_at: None,
            status: None,
            said: None,
        };
        for _ in 0..100 {
            assert_eq!(post.send(&delivery, &approved).await, Answer::Forbidden);
        }
        assert_eq!(lookup.0.load(Ordering::SeqCst), 100, "each dialling is judged");
        let connects = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        assert!(connects.is_err(), "0 connects");
    }
}
