//! `comfyport doctor`: what is wrong with an engine or with a ComfyUI on this machine, and what mends it.

pub(crate) mod arguments;
mod engine;
mod finding;
mod place;
mod reach;

use std::{path::PathBuf, process::ExitCode};

use comfyport_endpoint::Endpoint;

use self::{arguments::Doctor, finding::report};
use super::{nodes::needed::Needed, target::Target};
use crate::{
    config::{Config, Overrides},
    say,
    supplies::{self, gather, read_lock},
};

/// Exits 0; 1 if something is wrong; 2 on wrong usage or configuration.
pub(crate) fn run(arguments: &Doctor, endpoints: &[&Endpoint]) -> ExitCode {
    super::block_on(async {
        match examine(arguments, endpoints).await {
            Ok((text, fine)) => {
                let said = say::data(&text);
                if fine { said } else { ExitCode::from(1) }
            }
            Err(error) => say::refuse(error),
        }
    })
}

/// What the patient should be like.
struct Expected<'e> {
    config: &'e Config,
    endpoints: Vec<&'e Endpoint>,
    packs: Needed,
    models: Vec<supplies::Needed>,
    /// The ComfyUI that workflows are known to run on.
    comfyui: Option<String>,
    /// Its folder, if it is on this machine.
    folder: Option<PathBuf>,
}

async fn examine(arguments: &Doctor, endpoints: &[&Endpoint]) -> Result<(String, bool), String> {
    let config = Config::load(arguments.config.as_deref(), super::environment(), &Overrides::default())
        .map_err(|error| error.to_string())?;
    let chosen = |endpoint: &&&Endpoint| {
        arguments.workflow.is_empty() || arguments.workflow.iter().any(|path| *path == *endpoint.path)
    };
    let lock = arguments.lock.as_deref();
    let packs = Needed::gather(endpoints, lock, &arguments.workflow)?;
    let known = read_lock(lock)?;
    let comfyui = known.comfyui.clone();
    let usual = Some(&config.nodes.comfyui).filter(|dir| !dir.as_os_str().is_empty());
    let folder = arguments.comfyui.as_ref().or(usual).cloned();
    let expected = Expected {
        config: &config,
        endpoints: endpoints.iter().filter(chosen).copied().collect(),
        models: gather(endpoints, &known, &arguments.workflow)?,
        packs,
        comfyui,
        folder,
    };
    let targets = match Target::choose(&config, arguments.engine.as_deref(), arguments.comfyui_url.as_ref())?
    {
        Some(target) => vec![target],
        None => Target::all(&config)?,
    };
    let mut found = Vec::new();
    for target in targets {
        found.extend(engine::examine(target, &expected).await.all);
    }
    if let Some(folder) = &expected.folder {
        found.extend(place::examine(folder, arguments.python.as_deref(), &expected).await?.all);
    }
    Ok(report(&found, arguments.format))
}
