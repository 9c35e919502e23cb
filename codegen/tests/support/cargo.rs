//! Running cargo on the `generated` crate.

use std::{
    path::Path,
    process::{Command, Output},
};

/// `cargo check` of the `generated` crate, whose root denies warnings, over a folder of workflows.
pub(crate) fn check(folder: &Path) -> Output {
    Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--package", "comfyport-generated", "--target-dir"])
        // What is built already is used again; cargo lets go of its lock before it runs tests.
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("COMFYPORT_WORKFLOWS", folder)
        .output()
        .expect("cargo")
}
