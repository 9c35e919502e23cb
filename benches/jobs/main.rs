//! What keeping jobs costs, measured against the same disk and the same engines in one run.
//!
//! `cargo bench --bench jobs` starts the real binary and prints: submissions per second against what the disk can sync,
//! memory for a thousand readers of events, the latency that is added to jobs at a steady rate, what one caller's flood does to
//! another's jobs, and whether the time of a 401 tells anything. It asserts nothing of speed.

#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs
)]

mod flood;
mod keys;
#[path = "../server/process.rs"]
#[allow(dead_code, reason = "shared with the other benchmark")]
mod process;
mod readers;
mod steady;
mod submit;

use std::time::Duration;

fn main() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if is_wanted("submit") {
            submit::run().await;
        }
        if is_wanted("readers") {
            readers::run().await;
        }
        if is_wanted("steady") {
            steady::run().await;
        }
        if is_wanted("flood") {
            flood::run().await;
        }
        if is_wanted("keys") {
            keys::run().await;
        }
    });
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(usize::MAX).build().unwrap()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What is at a part of the way through, in order.
fn quantile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}
