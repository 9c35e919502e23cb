//! One module for each workflow in `workflow_templates/`, written by the build script.

#![deny(warnings)]
#![allow(clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/endpoints.rs"));
