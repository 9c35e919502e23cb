//! Against real clones, a registry and Managers of the test's own, and processes that import packs as ComfyUI does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod clones;
mod house;
mod managers;
mod python;
mod real;
mod registry;
mod rollback;
mod upkeep;
