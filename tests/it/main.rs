//! Black-box tests: the real binary on a real port, in front of a simulator that misbehaves on request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod access;
mod acme;
mod batches;
mod buckets;
mod bundled;
mod clients;
mod command_line;
mod compat;
mod compat_comfy_v2;
mod compat_comfyui_api;
#[path = "../support/containers.rs"]
mod containers;
mod derived;
mod doctor;
mod dynamic;
mod engines;
mod enrich;
mod errands;
mod errands_by_address;
mod errands_shared;
mod host;
mod hostile;
mod installs;
mod issuer;
mod jobs;
mod jobs_commands;
mod lifecycle;
mod listener;
mod lock_resolve;
mod media_in;
mod models_commands;
mod moving;
mod needs;
mod nodes_commands;
mod openapi;
mod pictures;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "other tests steer the database itself")]
mod postgres;
mod process;
mod project;
mod real_comfyui;
mod requests;
mod saved_files;
mod sink;
mod streaming;
mod supplies;
mod tokens;
mod twins;
mod warm_up;
mod webhooks;

/// The server that is tested.
const BINARY: &str = env!("CARGO_BIN_EXE_comfyport");
