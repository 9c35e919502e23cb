//! `comfyport catalog pull`

use std::{path::Path, process::ExitCode};

use comfyport_comfyui::{Client, ClientConfig};
use comfyport_workflow::Catalog;

use crate::{cli::Pull, say};

pub(crate) fn pull(arguments: &Pull) -> ExitCode {
    let bytes = match &arguments.from {
        Some(path) => std::fs::read(path).map_err(|error| format!("{}: {error}", path.display())),
        None => ask(arguments),
    };
    let read = bytes.and_then(|bytes| Catalog::from_object_info(&bytes).map_err(|error| error.to_string()));
    let (catalog, odd) = match read {
        Ok(read) => read,
        Err(error) => return say::refuse(error),
    };
    for diagnostic in odd {
        say::line(diagnostic.render("object_info").trim_end());
    }
    let snapshot = catalog.to_snapshot();
    let Some(path) = &arguments.out else { return say::data(&snapshot) };
    match write(path, &snapshot) {
        Ok(()) => {
            say::line(format_args!("{} node classes in {}", catalog.len(), path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => say::refuse(format_args!("{}: {error}", path.display())),
    }
}

/// Through a file beside it, so that there is never half of one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, path)
}

fn ask(arguments: &Pull) -> Result<Vec<u8>, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let client = Client::new(ClientConfig::new(arguments.comfyui_url.clone()))
            .map_err(|error| error.to_string())?;
        let info = client.object_info().await.map_err(|error| error.to_string())?;
        Ok(info.to_json().into_bytes())
    })
}
