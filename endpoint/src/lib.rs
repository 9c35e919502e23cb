//! What a typed endpoint is at run time.
//!
//! Generated code declares a request struct with `#[derive(Request)]` and one static [`Endpoint`]; an endpoint that is
//! made at run time has a [`Table`] instead of a struct. This crate decodes
//! requests into such structs, collecting every fault, and writes them into the prompt that an engine runs. Clients use
//! the same structs the other way round: [`Endpoint::encode_json`] writes what [`Endpoint::decode_json`] reads.
//!
//! It knows neither how endpoints are inferred nor how they are served.

// The derives name this crate by its path, also from within its own tests.
extern crate self as comfyport_endpoint;

mod address;
mod advanced;
mod call;
mod decode;
mod description;
mod encode;
mod fault;
mod field;
mod given;
mod held;
mod limits;
mod lora;
mod media;
mod response;
mod rule;
mod slot;
mod state;
mod table;
mod template;

pub use advanced::Advanced;
pub use call::{Call, Key};
pub use comfyport_macros::{Choice, Request, Response};
pub use decode::{ChosenModel, Decoded, Decoding, Part, PartValue};
pub use description::{Date, Deprecation, Endpoint, Model, NodeLabel, NodePack, Output, OutputKind};
pub use fault::{Allowed, Fault, FaultKind, Faults, nearest};
pub use field::{Field, Kind, MediaEncoding, MediaKind};
pub use held::{Held, List, Text};
pub use limits::DecodeLimits;
pub use lora::{Lora, Loras};
pub use media::{Audio, FileInput, Image, Mask, Media, MediaSource, Model3d, Video};
pub use response::{Artifact, OutputError, Outputs, Response};
pub use rule::{Place, Rate, Rule, Steps};
pub use slot::{Choice, Raw, Request, Seed, Slot};
pub use state::State;
#[doc(hidden)]
pub mod __private {
    //! What the derives expand to; not for other code.
    pub use crate::{
        fault::ValueFault,
        response::take,
        slot::{choice, not_an_option, write_text},
    };
}
pub use table::Table;
pub use template::{LoraPart, Piece, Template};
