//! A stand-in for ComfyUI that speaks its protocol on a real port.
//!
//! It accepts prompts, checks them against the node definitions, queues them, runs them one at a time, sends the events
//! that ComfyUI 0.3.64 sends, keeps a history and serves files. Nodes that need models make something of the right kind
//! and size instead: pictures show their parameters, sounds are tones, meshes are cubes. Simple picture nodes do what
//! they say. It misbehaves on request; see [`Fault`].

mod date;
mod events;
mod faults;
mod hub;
mod ledger;
mod media;
mod nodes;
mod options;
mod order;
mod python;
mod queue;
mod routes;
mod run;
mod shared;
mod simulator;
mod store;
mod validate;
mod worker;

pub use faults::{Fault, Faults};
pub use ledger::{Entry, Ledger, LedgerEvent};
pub use options::{ModelFiles, Models, Options, open_class};
pub use simulator::{Installer, Simulator};
