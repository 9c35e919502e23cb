//! The client against a ComfyUI that misbehaves on request.

mod adopt;
mod engine;
#[expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]
mod fake;
#[expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]
mod faults;
mod files;
mod socket;
mod submit;
