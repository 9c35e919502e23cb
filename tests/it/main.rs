//! Black-box tests: the real binary on a real port, in front of a simulator that misbehaves on request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod access;
mod batches;
mod buckets;
mod bundled;
mod clients;
mod command_line;
mod compat;
#[path = "../support/containers.rs"]
mod containers;
mod derived;
mod dynamic;
mod engines;
mod host;
mod hostile;
mod jobs;
mod jobs_commands;
mod lifecycle;
mod listener;
mod media_in;
mod openapi;
mod pictures;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "other tests steer the database itself")]
mod postgres;
mod process;
mod project;
mod requests;
mod saved_files;
mod sink;
mod twins;
mod webhooks;

/// The server that is tested.
const BINARY: &str = env!("CARGO_BIN_EXE_comfyport");
