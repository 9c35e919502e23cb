//! `comfyport config show`

use std::{path::Path, process::ExitCode};

use crate::{
    config::{Config, Overrides},
    say,
};

pub(crate) fn show(file: Option<&Path>) -> ExitCode {
    match Config::load(file, super::environment(), &Overrides::default()) {
        Ok(config) => say::data(&config.shown()),
        Err(error) => say::refuse(error),
    }
}
