//! Proof that no accepted job is lost: the real binary, killed, stopped, cut off and starved, beside three ledgers.
//!
//! What the clients were promised is in the client ledger, what engines ran in theirs, which is on disk before anything
//! runs, and what became of jobs in the store. Each run compares them and prints one line, with the seed that repeats it.
//! Every run has a short version; the long ones are `cargo xtask prove`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs
)]

mod backlog;
mod clients;
mod disk;
mod hall;
mod late;
mod ledger;
mod oracle;
#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "shared with the tests of the store, which need more of it")]
mod postgres;
mod program;
mod proxy;
mod runs;
mod sink;
mod watchers;

/// The server that is tested.
const BINARY: &str = env!("CARGO_BIN_EXE_comfyport");

/// Says something that is seen whether or not the test passes.
fn say(line: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "{line}").ok();
}

/// Waits until something holds. It is a failure if it takes longer than a generous while.
async fn until(what: &str, patience: std::time::Duration, mut holds: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
