//! Repositories, registries, Managers and a stand-in for ComfyUI, on this machine. For tests; they panic where a test is
//! wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

mod manager;
mod registry;
mod repository;
mod server;

use std::{fs, path::Path};

pub use self::{
    manager::{FakeManager, SharedManager},
    registry::FakeRegistry,
    repository::{Repository, git, locked},
    server::{Server, git_server},
};

/// Imports packs as ComfyUI does, says what it says, and answers what is asked of it here.
const COMFYUI: &str = include_str!("testing/comfyui.py");

/// Makes an empty folder into one of ComfyUI: `main.py --port N` starts a stand-in for it.
pub fn furnish(folder: &Path) {
    fs::create_dir(folder.join("custom_nodes")).unwrap();
    fs::write(folder.join("main.py"), COMFYUI).unwrap();
}

/// The text of a pack that has these classes.
pub fn nodes(classes: &[&str]) -> String {
    let classes: Vec<String> = classes.iter().map(|class| format!("\"{class}\": object")).collect();
    format!("NODE_CLASS_MAPPINGS = {{{}}}\n", classes.join(", "))
}
