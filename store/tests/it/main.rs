//! The rules of jobs, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../tests/support/postgres.rs"]
mod postgres;
mod stage;

mod batches;
mod callers;
mod deliveries;
mod files;
mod fleet;
mod model;
mod outbox;
mod queue;
mod server;
mod sqlite;
mod submit;
mod transitions;
mod uploads;
mod waiting;
