//! `comfyport client`

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use comfyport_clientgen::generate;
use comfyport_endpoint::Endpoint;

use crate::{
    cli::{Client, Language},
    problem::Code,
    say,
};

pub(crate) fn run(arguments: &Client, endpoints: &[&Endpoint]) -> ExitCode {
    let (language, folder) = match arguments.language {
        Language::Ts => (comfyport_clientgen::Language::TypeScript, "comfyport-client-ts"),
        Language::Python => (comfyport_clientgen::Language::Python, "comfyport-client-python"),
    };
    let folder = arguments.out.clone().unwrap_or_else(|| PathBuf::from(folder));
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let files = generate(language, endpoints, &codes);
    match write(&folder, &files) {
        Ok(()) => {
            let (files, workflows) = (files.len(), endpoints.len());
            say::line(format_args!("{files} files in {} for {workflows} workflows", folder.display()));
            ExitCode::SUCCESS
        }
        Err((path, error)) => say::refuse(format_args!("{}: {error}", path.display())),
    }
}

/// Writes what changed, through a file beside it, so that a watching compiler sees neither halves nor sameness.
fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), (PathBuf, io::Error)> {
    for (name, text) in files {
        let path = folder.join(name);
        let at = |error| (path.clone(), error);
        if std::fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(at)?;
        }
        let partial = path.with_extension("partial");
        std::fs::write(&partial, text).map_err(at)?;
        std::fs::rename(&partial, &path).map_err(at)?;
    }
    Ok(())
}
