//! Black-box tests: the real binary on a real port, in front of a simulator that misbehaves on request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod bundled;
mod command_line;
mod dynamic;
mod hostile;
mod listener;
mod process;
mod project;
mod requests;
mod twins;
