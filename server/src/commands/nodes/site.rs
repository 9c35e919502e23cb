//! Where packs are installed: a ComfyUI on this machine, or one that is reached by its Manager alone.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use comfyport_comfyui::{Client, ClientConfig};
use comfyport_needs::LockedPack;
use comfyport_packs::{
    Classes, Engine, Installed, Installer, Outcome, Place, Plan, Process, Python, RemoteInstaller, Restart,
    Sources,
};

use super::arguments::SiteArguments;
use crate::{
    commands::target::Target,
    config::{Config, seconds},
};

/// What ComfyUI begins with.
const MAIN: &str = "main.py";

/// The folder, in that of ComfyUI, in which packs are made ready and records are kept.
const WORKSHOP: &str = ".comfyport";

/// Where packs are installed.
pub(super) enum Site {
    Local(Box<Installer>),
    Remote(Box<RemoteInstaller>, Box<Sources>),
}

impl Site {
    pub(super) async fn open(arguments: &SiteArguments, config: &Config) -> Result<Self, String> {
        let target = Target::choose(config, arguments.engine.as_deref(), arguments.comfyui_url.as_ref())?;
        let sources = config.pack_sources()?;
        // Whoever names an address alone has no folder in mind.
        let usual = Some(&config.nodes.comfyui).filter(|dir| target.is_none() && !dir.as_os_str().is_empty());
        let own = target.as_ref().and_then(|target| target.comfyui.clone());
        match (arguments.comfyui.clone().or(own).or_else(|| usual.cloned()), target) {
            (Some(dir), target) => Self::local(&dir, target, arguments, config, sources).await,
            (None, Some(target)) => {
                let alone =
                    [(arguments.trial, "--trial"), (arguments.restart_by_manager, "--restart-by-manager")];
                if let Some((_, flag)) = alone.iter().find(|(is, _)| *is) {
                    return Err(format!(
                        "{flag} is for a ComfyUI on this machine: name its folder, --comfyui"
                    ));
                }
                Self::remote(target, config, sources).await
            }
            (None, None) => {
                Err("which ComfyUI? Say --comfyui DIR if it is on this machine, or --engine NAME or \
                                 --comfyui-url URL if ComfyUI-Manager is to do it; or set `nodes.comfyui`"
                    .to_owned())
            }
        }
    }

    async fn local(
        dir: &Path,
        target: Option<Target>,
        arguments: &SiteArguments,
        config: &Config,
        sources: Sources,
    ) -> Result<Self, String> {
        let nodes = &config.nodes;
        let usual = Some(&nodes.python).filter(|python| !python.as_os_str().is_empty());
        let own = target.as_ref().and_then(|target| target.python.as_ref());
        let python = arguments.python.as_ref().or(own).or(usual);
        let place = Place::new(dir, python.map(PathBuf::as_path)).map_err(|error| error.to_string())?;
        let engine = engine(&place, target, arguments, config)?;
        let uv = Python::find_uv().await;
        let limit = seconds(nodes.python_timeout_s);
        let python = place.python().map(|program| Python::new(program.to_owned(), uv, limit));
        let mut settings = nodes.settings();
        settings.run_install_scripts |= arguments.install_scripts;
        let Sources { git, registry } = sources;
        Ok(Self::Local(Box::new(Installer { place, git, registry, python, engine, settings })))
    }

    async fn remote(target: Target, config: &Config, sources: Sources) -> Result<Self, String> {
        let patience = seconds(config.nodes.start_timeout_s);
        let name = target.name;
        let engine = Engine::new(target.client, Some(Restart::Manager), patience);
        let installer = RemoteInstaller::new(engine, seconds(config.nodes.manager_timeout_s)).await;
        let installer = installer.map_err(|error| format!("{name}: {error}"))?;
        Ok(Self::Remote(Box::new(installer), Box::new(sources)))
    }

    /// What it is, for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Local(installer) => installer.place.custom_nodes().display().to_string(),
            Self::Remote(installer, _) => {
                format!("ComfyUI-Manager {}", installer.manager().version().trim_start_matches('V'))
            }
        }
    }

    pub(super) async fn installed(&self) -> Result<Vec<Installed>, String> {
        match self {
            Self::Local(installer) => installer.place.installed().map_err(|error| error.to_string()),
            Self::Remote(installer, _) => {
                installer.manager().installed().await.map_err(|error| error.to_string())
            }
        }
    }

    /// The classes that a running ComfyUI has, if one is known and answers.
    pub(super) async fn classes(&self) -> Option<Classes> {
        let engine = match self {
            Self::Local(installer) => installer.engine.as_ref()?,
            Self::Remote(installer, _) => installer.engine(),
        };
        if engine.is_up().await { engine.classes().await.ok() } else { None }
    }

    pub(super) async fn plan_install(&self, packs: &[LockedPack]) -> Result<Plan, String> {
        match self {
            Self::Local(installer) => installer.plan_install(packs).await.map_err(|error| error.to_string()),
            Self::Remote(installer, _) => {
                installer.plan_install(packs).await.map_err(|error| error.to_string())
            }
        }
    }

    pub(super) async fn plan_update(&self, names: &[String]) -> Result<(Vec<LockedPack>, Plan), String> {
        match self {
            Self::Local(installer) => installer.plan_update(names).await.map_err(|error| error.to_string()),
            Self::Remote(installer, sources) => {
                installer.plan_update(names, sources).await.map_err(|error| error.to_string())
            }
        }
    }

    pub(super) async fn plan_remove(&self, names: &[String]) -> Result<Plan, String> {
        match self {
            Self::Local(installer) => installer.plan_remove(names).map_err(|error| error.to_string()),
            Self::Remote(installer, _) => {
                installer.plan_remove(names).await.map_err(|error| error.to_string())
            }
        }
    }

    pub(super) async fn carry_out(&self, plan: &Plan) -> Result<Vec<Outcome>, String> {
        match self {
            Self::Local(installer) => {
                let done = installer.carry_out(plan).await.map_err(|error| error.to_string());
                if let Some(engine) = &installer.engine {
                    engine.stop().await;
                }
                done
            }
            Self::Remote(installer, _) => installer.carry_out(plan).await.map_err(|error| error.to_string()),
        }
    }
}

/// The ComfyUI that proves packs, if somebody said which and how it is restarted.
fn engine(
    place: &Place,
    target: Option<Target>,
    arguments: &SiteArguments,
    config: &Config,
) -> Result<Option<Engine>, String> {
    let patience = seconds(config.nodes.start_timeout_s);
    if arguments.trial {
        return trial(place, &arguments.trial_arg, patience).map(Some);
    }
    let usual = Some(config.nodes.restart_command.as_str()).filter(|command| !command.is_empty());
    let own = target.as_ref().and_then(|target| target.restart_command.as_deref());
    let command = arguments.restart_command.as_deref().or(own).or(usual);
    let restart = match command {
        _ if arguments.restart_by_manager => Some(Restart::Manager),
        Some(command) => Some(Restart::Command(shell(command))),
        None => None,
    };
    if target.is_none() && restart.is_none() {
        return Ok(None);
    }
    let target = match target {
        Some(target) => target,
        None => sole(config)?,
    };
    Ok(Some(Engine::new(target.client, restart, patience)))
}

/// The only engine of the configuration.
fn sole(config: &Config) -> Result<Target, String> {
    let mut all = Target::all(config)?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err("there are several engines: which of them is this ComfyUI? Say --engine NAME".to_owned()),
    }
}

/// A ComfyUI of our own, at a port that is free.
fn trial(place: &Place, more: &[String], patience: Duration) -> Result<Engine, String> {
    let folder = place.folder();
    let main = folder.join(MAIN);
    if !main.is_file() {
        return Err(format!(
            "{} has no {MAIN}: --trial starts ComfyUI from the folder it is in; say --restart-command instead",
            folder.display()
        ));
    }
    let python = place.python().ok_or("the Python of ComfyUI is not known: name it, --python")?;
    // Whoever takes the port in between makes the trial fail, and nothing is believed.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let port = port.map_err(|error| format!("no port is free: {error}"))?.port();
    let mut command: Vec<String> =
        [python, &main].into_iter().map(|path| path.display().to_string()).collect();
    command.extend(["--listen", "127.0.0.1", "--port"].map(str::to_owned));
    command.push(port.to_string());
    command.extend(more.iter().cloned());
    let url = format!("http://127.0.0.1:{port}").parse().map_err(|error| format!("{error}"))?;
    let client = Client::new(ClientConfig::new(url)).map_err(|error| error.to_string())?;
    // Beside what is on its way in and out; nobody else writes there.
    let room = folder.join(WORKSHOP);
    fs::create_dir_all(&room).map_err(|error| format!("{}: {error}", room.display()))?;
    let log = room.join("trial.log");
    let process = Process { command, folder: folder.to_owned(), log };
    Ok(Engine::new(client, Some(Restart::Process(process)), patience))
}

fn shell(command: &str) -> Vec<String> {
    let words = if cfg!(windows) { ["cmd", "/C", command] } else { ["/bin/sh", "-c", command] };
    words.map(str::to_owned).to_vec()
}
