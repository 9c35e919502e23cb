//! Understands an exported ComfyUI workflow.
//!
//! Bytes go in; an [`Endpoint`] comes out, or diagnostics. Nothing here reads files or speaks to anyone.

pub mod catalog;
mod diagnostic;
mod endpoint;
pub mod graph;
pub mod json;
mod source;

pub use catalog::Catalog;
pub use diagnostic::{Diagnostic, Severity, is_disruptive, printable};
pub use endpoint::{
    Binding, Endpoint, ModelRef, NodePack, Output, OutputKind, Param, ParamType, Stage, Tier,
};
pub use source::{Source, read};
