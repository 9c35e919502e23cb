//! The server behind typed endpoints, and its command line.
//!
//! It does not know which endpoints there are: the binary hands them to [`main`].

pub mod access;
pub mod app;
pub mod artifacts;
pub mod assemble;
mod cli;
mod commands;
pub mod compat;
pub mod config;
pub mod dynamic;
pub mod endpoints;
pub mod engine;
pub mod form;
pub mod intake;
pub mod jobs;
pub mod layers;
pub mod listener;
mod logging;
pub mod media;
pub mod metrics;
pub mod openapi;
pub mod pool;
pub mod problem;
pub mod readiness;
pub mod reply;
pub mod routes;
pub mod run;
mod say;
pub mod shelves;
pub mod supplies;
pub mod versions;
pub mod warm_up;
pub mod webhooks;

use std::process::ExitCode;

use comfyport_endpoint::Endpoint;

/// The whole command line. Exit codes: 0 fine, 1 faults were found, 2 usage or configuration.
pub fn main(endpoints: &'static [&'static Endpoint]) -> ExitCode {
    cli::run(endpoints)
}
