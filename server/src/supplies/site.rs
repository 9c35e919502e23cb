//! An engine's folders on this machine.

use std::path::{Path, PathBuf};

use comfyport_depot::Settings;

use crate::config::{Config, EngineTable};

/// An engine's folders on this machine.
#[derive(Debug)]
pub struct Site {
    /// The engine's name.
    pub engine: String,
    /// Its models folder, and how it is filled.
    pub models: Option<Settings>,
}

impl Site {
    pub(super) fn open(name: &str, engine: &EngineTable, config: &Config) -> Result<Self, String> {
        let models = models_dir(engine, config);
        if let Some(models) = models.as_ref().filter(|models| !models.is_dir()) {
            // Whoever names a folder that does not exist has mistyped it: no second one is made beside it.
            return Err(format!(
                "the models folder of engine {name}: {} is no folder; name the one that its ComfyUI reads",
                models.display()
            ));
        }
        let models = models.map(|models| config.models.settings(&models)).transpose()?;
        Ok(Self { engine: name.to_owned(), models })
    }
}

/// What is said of an engine's models folder: of the engine, of its ComfyUI, of all commands.
fn models_dir(engine: &EngineTable, config: &Config) -> Option<PathBuf> {
    let said = |path: &Path| Some(path.to_owned()).filter(|path| !path.as_os_str().is_empty());
    let alone = config.engine.is_empty();
    said(&engine.models_dir)
        .or_else(|| said(&engine.comfyui).map(|comfyui| comfyui.join("models")))
        .or_else(|| said(&config.models.dir).filter(|_| alone))
}
