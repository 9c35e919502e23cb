//! A delivery as operators see it: without what it says and how it is signed.

use comfyport_store::deliveries::{Delivery, DeliveryState};
use serde::Serialize;
use uuid::Uuid;

use crate::jobs::body::time;

/// A delivery as operators see it.
#[derive(Debug, Serialize)]
pub struct DeliveryView {
    id: String,
    job: Uuid,
    event: String,
    url: String,
    status: &'static str,
    attempts: u32,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let waits = delivery.state == DeliveryState::Pending;
        Self {
            url: masked(&delivery.url),
            id: delivery.id,
            job: delivery.job,
            event: delivery.event,
            status: delivery.state.as_str(),
            attempts: delivery.attempts,
            created_at: time(delivery.created_at),
            next_attempt_at: waits.then(|| time(delivery.due_at)),
            ended_at: delivery.ended_at.map(time),
            response_status: delivery.status,
            error: delivery.said,
        }
    }
}

/// An address without its query, which may hold a token.
pub fn masked(url: &str) -> String {
    match url.split_once(['?', '#']) {
        Some((address, _)) => format!("{address}?…"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn queries_are_masked() {
        assert_eq!(masked("https://a/b?token=sesame"), "https://a/b?…");
        assert_eq!(masked("https://a/b#sesame"), "https://a/b?…");
        assert_eq!(masked("https://a/b"), "https://a/b");
    }
}
