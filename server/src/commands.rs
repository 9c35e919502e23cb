//! One file for each command.

pub(crate) mod add;
pub(crate) mod catalog;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod engines;
pub(crate) mod enrich;
mod files;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod lock;
pub(crate) mod models;
pub(crate) mod new;
pub(crate) mod nodes;
pub(crate) mod openapi;
mod remote;
pub(crate) mod serve;
pub(crate) mod simulate;
mod table;
mod target;
pub(crate) mod webhooks;
mod workflow_file;

use std::{future::Future, process::ExitCode};

use crate::say;

/// Runs a future on a runtime of its own.
fn block_on(future: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(future);
            // Whatever still runs was given its time before.
            runtime.shutdown_background();
            code
        }
        Err(error) => say::refuse(format_args!("cannot start threads: {error}")),
    }
}

/// Environment variables that are text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
