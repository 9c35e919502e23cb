//! The simulator from outside: raw HTTP and WebSocket against what ComfyUI 0.3.64 was seen to do.

mod client;
mod faults;
mod files;
mod protocol;
mod validation;
