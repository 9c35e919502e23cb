//! Black-box tests of what a project's own files decide: the real build script and the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod lock;
#[path = "../../../it/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the bundled workflows")]
mod process;
mod project;
mod versions;

/// The server that is tested.
const BINARY: &str = env!("CARGO_BIN_EXE_project");
