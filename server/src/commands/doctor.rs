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
    /// Its Python.
    python: Option<String>,
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
    let (comfyui, its_python) = (known.comfyui.clone(), known.python.clone());
    let targets = match Target::choose(&config, arguments.engine.as_deref(), arguments.comfyui_url.as_ref())?
    {
        Some(target) => vec![target],
        None => Target::all(&config)?,
    };
    // What is said of all is said of the only one.
    let usual = Some(&config.nodes.comfyui).filter(|dir| targets.len() == 1 && !dir.as_os_str().is_empty());
    let mut expected = Expected {
        config: &config,
        endpoints: endpoints.iter().filter(chosen).copied().collect(),
        models: gather(endpoints, &known, &arguments.workflow)?,
        packs,
        comfyui,
        python: its_python,
        folder: None,
    };
    let (mut found, mut seen) = (Vec::new(), Vec::new());
    for target in targets {
        let folder = arguments.comfyui.clone().or_else(|| target.comfyui.clone()).or_else(|| usual.cloned());
        let python = arguments.python.clone().or_else(|| target.python.clone());
        expected.folder.clone_from(&folder);
        found.extend(engine::examine(target, &expected).await.all);
        let Some(folder) = folder.filter(|folder| !seen.contains(folder)) else { continue };
        found.extend(place::examine(&folder, python.as_deref(), &expected).await?.all);
        seen.push(folder);
    }
    Ok(report(&found, arguments.format))
}
