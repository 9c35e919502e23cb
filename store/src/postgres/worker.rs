//! A thread that runs transactions, for as long as there are any.

use std::time::Duration;

use super::{
    address::Address,
    connection::{Attempt, Connection},
    queue::{Queue, Waiting},
};
use crate::StoreError;

/// How often a transaction that others were in the way of is tried again.
const RETRIES: u32 = 8;

/// The first pause before another try, and the longest.
const SHORT_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_SHORT_PAUSE: Duration = Duration::from_millis(100);

/// The first pause before another attempt to connect, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Runs transactions from a queue until it is closed.
pub(super) fn run(queue: &Queue, address: &Address, mut connection: Option<Connection>) {
    let mut failures = 0;
    loop {
        let mut live = match connection.take().filter(|connection| !connection.is_lost()) {
            Some(connection) => connection,
            None => match Connection::open(address) {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!("{error}");
                    // Whoever waits hears of something that may pass: it was well once.
                    queue.note(Some(StoreError::Unavailable(error.to_string())));
                    failures += 1;
                    if !queue.pause(pause(failures, PAUSE, LONGEST_PAUSE)) {
                        return;
                    }
                    continue;
                }
            },
        };
        queue.note(None);
        failures = 0;
        let Some(waiting) = queue.next() else { return };
        carry_out(queue, &mut live, waiting);
        connection = Some(live);
    }
}

fn carry_out(queue: &Queue, connection: &mut Connection, mut waiting: Waiting) {
    let mut tries = 0;
    let answer = loop {
        match connection.attempt(waiting.writes, &mut waiting.order.work) {
            // It lay idle while the server went away: another connection will do.
            Attempt::NotBegun => return queue.put_back(waiting),
            Attempt::Ended(Err(StoreError::Contended))
                if tries < RETRIES && waiting.since.elapsed() < super::PATIENCE =>
            {
                tries += 1;
                std::thread::sleep(pause(tries, SHORT_PAUSE, LONGEST_SHORT_PAUSE));
            }
            Attempt::Ended(answer) => break answer,
        }
    };
    queue.answer(waiting, answer);
    connection.tell();
}

/// Grows with every failure, and differs, so that many do not come back at once.
fn pause(failures: u32, first: Duration, longest: Duration) -> Duration {
    let grown = first.saturating_mul(2_u32.saturating_pow(failures.min(16)));
    grown.min(longest).mul_f64(0.5 + fastrand::f64() / 2.0)
}
