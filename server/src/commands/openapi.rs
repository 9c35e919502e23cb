//! `comfyport openapi`

use std::process::ExitCode;

use comfyport_endpoint::Endpoint;

use crate::say;

pub(crate) fn run(endpoints: &[&Endpoint]) -> ExitCode {
    match serde_json::to_string_pretty(&crate::openapi::merge(endpoints.iter().copied())) {
        Ok(text) => say::data(&(text + "\n")),
        Err(error) => say::refuse(error),
    }
}
