//! A server with the workflows of this project.

#![allow(clippy::all, clippy::pedantic, reason = "the generated modules are this crate's")]

use std::process::ExitCode;

include!(concat!(env!("OUT_DIR"), "/endpoints.rs"));

fn main() -> ExitCode {
    comfyport_server::main(endpoints())
}
