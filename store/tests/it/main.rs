//! The rules of jobs, on SQLite and on PostgreSQL.

#[path = "../../../tests/support/postgres.rs"]
mod postgres;
mod stage;

mod batches;
mod files;
mod fleet;
mod model;
mod outbox;
mod queue;
mod server;
mod sqlite;
mod submit;
mod transitions;
