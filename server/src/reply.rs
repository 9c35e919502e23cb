//! The forms of answer to a run: one JSON document, a stream of events, or the bytes of an output.

pub mod accept;
pub mod bytes;
pub mod events;
pub mod form;
pub mod model;
pub mod prefer;
pub mod sheet;
pub mod watched;
pub mod zip;
