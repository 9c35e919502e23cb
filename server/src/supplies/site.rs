//! An engine's folders on this machine.

use std::path::{Path, PathBuf};

use comfyport_comfyui::Client;
use comfyport_depot::Settings;

use crate::config::{Config, EngineTable};

/// An engine, and its folders on this machine.
#[derive(Debug)]
pub struct Site {
    /// The engine's name.
    pub engine: String,
    /// Its models folder, and how it is filled.
    pub models: Option<Settings>,
    /// Its ComfyUI.
    pub(super) home: Option<Home>,
    /// What it is asked by.
    pub(super) client: Client,
}

/// A ComfyUI on this machine.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) comfyui: PathBuf,
    pub(super) python: PathBuf,
    pub(super) restart_command: String,
}

impl Site {
    pub(super) fn open(name: &str, engine: &EngineTable, config: &Config) -> Result<Self, String> {
        // Where nothing is done with them, folders may be those of another machine.
        let used = config.supplies.are_used();
        let home = home(engine, config).filter(|home| used || home.comfyui.is_dir());
        if let Some(home) = home.as_ref().filter(|home| used && !home.comfyui.join("custom_nodes").is_dir()) {
            return Err(format!(
                "the ComfyUI of engine {name}: {} has no folder `custom_nodes`",
                home.comfyui.display()
            ));
        }
        let models = models_dir(engine, home.as_ref(), config).filter(|models| used || models.is_dir());
        if let Some(models) = models.as_ref().filter(|models| !models.is_dir()) {
            // Whoever names a folder that does not exist has mistyped it: no second one is made beside it.
            return Err(format!(
                "the models folder of engine {name}: {} is no folder; name the one that its ComfyUI reads",
                models.display()
            ));
        }
        let models = models.map(|models| config.models.settings(&models)).transpose()?;
        let client = Client::new(engine.client(name)?)
            .map_err(|error| format!("the client of engine {name}: {error}"))?;
        Ok(Self { engine: name.to_owned(), models, home, client })
    }
}

fn said(path: &Path) -> Option<PathBuf> {
    Some(path.to_owned()).filter(|path| !path.as_os_str().is_empty())
}

/// What is said of an engine's ComfyUI; of the only engine, what is said for all commands.
fn home(engine: &EngineTable, config: &Config) -> Option<Home> {
    if let Some(comfyui) = said(&engine.comfyui) {
        let (python, restart_command) = (engine.python.clone(), engine.restart_command.clone());
        return Some(Home { comfyui, python, restart_command });
    }
    let nodes = &config.nodes;
    let comfyui = said(&nodes.comfyui).filter(|_| config.engine.is_empty())?;
    Some(Home { comfyui, python: nodes.python.clone(), restart_command: nodes.restart_command.clone() })
}

/// What is said of an engine's models folder: of the engine, for all commands, of its ComfyUI.
fn models_dir(engine: &EngineTable, home: Option<&Home>, config: &Config) -> Option<PathBuf> {
    said(&engine.models_dir)
        .or_else(|| said(&config.models.dir).filter(|_| config.engine.is_empty()))
        .or_else(|| home.map(|home| home.comfyui.join("models")))
}
