//! Understands an exported ComfyUI workflow.
//!
//! Bytes go in; an [`Endpoint`] comes out, or diagnostics. Nothing here reads files or speaks to anyone.
//!
//! ```
//! use comfyport_workflow::{Catalog, Options, endpoint};
//!
//! let export = br#"{
//!     "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
//!     "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
//!     "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}}
//! }"#;
//! let options = Options { file: "invert.json", path: "invert", catalog: Catalog::core(), sidecar: None, lock: None };
//! let endpoint = endpoint(export, &options).unwrap();
//! assert_eq!(endpoint.params[0].name, "image");
//! assert_eq!(endpoint.outputs[0].name, "image");
//! ```

pub mod catalog;
mod cut;
mod diagnostic;
pub mod doc;
mod embedded;
mod endpoint;
mod enum_names;
mod fingerprint;
pub mod graph;
mod infer;
pub mod json;
mod lock;
mod loras;
pub mod openapi;
mod packs;
mod report;
mod risks;
pub mod route;
mod rules;
mod settle;
mod sidecar;
mod source;
pub mod template;
pub mod ui;

pub use catalog::Catalog;
pub use diagnostic::{Diagnostic, Severity, is_disruptive, printable};
pub use embedded::{LARGEST_FILE, WORKFLOW_ENDINGS, open};
pub use endpoint::{
    Binding, Derived, Endpoint, ModelRef, NodePack, Output, OutputKind, Param, ParamType, Stage, Tier,
};
pub use enum_names::enum_names;
pub use infer::{Options, infer};
pub use lock::{Accepted, Change, ChangeKind, Lock, accept, compare};
pub use loras::{
    Chain, Fragment, LoraList, LoraPart, LoraPlace, LoraShape, MOST_LORAS, OwnLora, Stack, StackInput,
};
pub use report::render as report;
pub use risks::licences::{Licence, LicenceKind, licence_of};
pub use rules::{Place, PlacedRate, PlacedRule, Rate, Rule, Steps};
pub use settle::NEVER_RAW;
pub use sidecar::{
    AcceptedRisks, Date, Deprecation, Expose, ExposeTier, ModelRule, OutputRule, PackRule, ParamRule,
    Sidecar, SwitchRule,
};
pub use source::{Source, read, read_with};

/// Reads a workflow and infers its endpoint. An error is a file that holds no graph one could speak about; any other
/// problem is among the endpoint's diagnostics.
pub fn endpoint(bytes: &[u8], options: &Options<'_>) -> Result<Endpoint, Vec<Diagnostic>> {
    Ok(infer(read_with(bytes, options.catalog)?, options))
}
