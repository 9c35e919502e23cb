//! A client for ComfyUI's HTTP and WebSocket protocol.
//!
//! [`Client`] is one ComfyUI. [`Client::submit`] hands it a prompt under an id of the caller's choosing and answers
//! with a [`Run`]: events while it lasts, an [`Outcome`] at the end. Events are progress, history is truth: a run
//! whose socket never opens, breaks or goes silent still ends, by polling.
//!
//! What ComfyUI sends is read tolerantly (`NaN`, unknown events, wrong types); what it says to people (exception
//! messages) is stripped of tracebacks and server paths before it leaves this crate.

mod cancel;
mod client;
mod config;
mod dial;
mod error;
mod event;
mod extension;
mod frame;
mod http;
mod info;
mod outcome;
mod output;
mod queue;
mod rejection;
mod run;
mod sanitise;
mod socket;
mod submit;
mod upload;
mod view;
mod waiter;
mod watch;

pub use cancel::CancelOutcome;
pub use client::{Client, tls};
pub use config::{ClientConfig, Headers};
pub use error::ClientError;
pub use event::Event;
pub use extension::{ExtensionAnswer, ExtensionBody};
pub use outcome::{ExecutionError, Outcome, Timing};
pub use output::{FileRef, NodeId, NodeOutput, OutputItem, OutputKind};
pub use queue::QueueSnapshot;
pub use rejection::{InputError, NodeError, PromptError, Rejection};
pub use run::Run;
pub use submit::SubmitError;
pub use view::Download;
