//! The comfyport binary: the generated endpoints behind the server.

use std::process::ExitCode;

fn main() -> ExitCode {
    comfyport_server::main(comfyport_generated::endpoints())
}
