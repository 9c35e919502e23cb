//! The simulator from outside: raw HTTP and WebSocket against what ComfyUI 0.3.64 was seen to do.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on should stop"
)]

mod client;
mod faults;
mod files;
mod protocol;
mod queue;
mod sockets;
mod validation;
