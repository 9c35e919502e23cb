//! Which ComfyUI a command talks to.

use std::path::PathBuf;

use comfyport_comfyui::{Client, ClientConfig};
use url::Url;

use crate::config::{Config, EngineTable, seconds};

/// A ComfyUI by its address.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) url: Url,
    pub(super) client: Client,
    /// Its folder, if it is on this machine.
    pub(super) comfyui: Option<PathBuf>,
    /// Its models folder, if that is on this machine.
    pub(super) models: Option<PathBuf>,
    /// The Python it runs with.
    pub(super) python: Option<PathBuf>,
    /// What restarts it.
    pub(super) restart_command: Option<String>,
}

impl Target {
    /// The engine of that name, or the ComfyUI at that address, with the headers of `[comfyui]`. Nothing if neither is
    /// said.
    pub(super) fn choose(
        config: &Config,
        engine: Option<&str>,
        url: Option<&Url>,
    ) -> Result<Option<Self>, String> {
        if let Some(url) = url {
            let table = EngineTable::at(url.clone(), config.comfyui.headers.clone()).or(&config.comfyui);
            return Self::of(table).map(Some);
        }
        let Some(name) = engine else { return Ok(None) };
        let engines = config.engines();
        let known: Vec<String> = engines.iter().map(EngineTable::name).collect();
        match engines.into_iter().find(|engine| engine.name() == name) {
            Some(engine) => Self::of(engine).map(Some),
            None => Err(format!("there is no engine `{name}`; there are {}", known.join(", "))),
        }
    }

    /// All engines of the configuration.
    pub(super) fn all(config: &Config) -> Result<Vec<Self>, String> {
        config.engines().into_iter().map(Self::of).collect()
    }

    fn of(engine: EngineTable) -> Result<Self, String> {
        let name = engine.name();
        let mut client = ClientConfig::new(engine.url.clone());
        client.connect_timeout = engine.connect_timeout_s.map_or(client.connect_timeout, seconds);
        client.request_timeout = engine.request_timeout_s.map_or(client.request_timeout, seconds);
        for (header, value) in &engine.headers {
            if !client.headers.insert(header, value.expose()) {
                return Err(format!("the headers of engine {name}: `{header}` is not one that can be set"));
            }
        }
        let client = Client::new(client).map_err(|error| format!("engine {name}: {error}"))?;
        let said = |path: PathBuf| Some(path).filter(|path| !path.as_os_str().is_empty());
        let comfyui = said(engine.comfyui);
        let models = said(engine.models_dir).or_else(|| Some(comfyui.as_ref()?.join("models")));
        let restart_command = Some(engine.restart_command).filter(|command| !command.is_empty());
        Ok(Self {
            name,
            url: engine.url,
            client,
            comfyui,
            models,
            python: said(engine.python),
            restart_command,
        })
    }
}
