//! The rules of jobs, on SQLite and on PostgreSQL.

#[path = "../../../tests/support/postgres.rs"]
mod postgres;
mod stage;

mod deliveries;
mod queue;
mod server;
mod submit;
