//! What is told of models that were fetched, or not.

use comfyport_depot::{How, Linked, PullError, Pulled};
use serde_json::{Value, json};

/// What became of a model, without where it lies on this machine.
pub(crate) fn pulled(name: &str, outcome: &Result<Pulled, PullError>) -> Value {
    match outcome {
        Ok(pulled) => json!({
            "name": name,
            "size": pulled.size,
            "sha256": pulled.sha256,
            "how": how(pulled.how),
            "bytes_fetched": if let How::Fetched { bytes, .. } = pulled.how { bytes } else { 0 },
            "bytes_resumed": if let How::Fetched { resumed, .. } = pulled.how { resumed } else { 0 },
            "linked": linked(pulled.linked),
            "source": pulled.source,
            "commit": pulled.commit,
        }),
        Err(error) => failed(name, error.code(), &error.to_string(), &error.next_step()),
    }
}

/// What went wrong with something, and what to do about it.
pub(crate) fn failed(name: &str, code: &str, message: &str, next_step: &str) -> Value {
    json!({"name": name, "error": {"code": code, "message": message, "next_step": next_step}})
}

fn how(how: How) -> &'static str {
    match how {
        How::Present => "present",
        How::Cached => "cached",
        How::Fetched { .. } => "fetched",
    }
}

fn linked(linked: Linked) -> &'static str {
    match linked {
        Linked::Already => "already",
        Linked::Reflink => "reflink",
        Linked::Hard => "hard_link",
        Linked::Copy => "copy",
        Linked::Symbolic => "symlink",
    }
}
