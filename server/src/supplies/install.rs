//! Installing node packs into an engine's ComfyUI.

use std::{path::PathBuf, sync::Arc};

use comfyport_needs::LockedPack;
use comfyport_packs::{
    Became, Engine, Installer, Outcome, Place, Plan, Python, RemoteInstaller, Restart, Settings, Sources,
};
use serde_json::{Value, json};

use super::{
    board::Board,
    pull::Done,
    site::{Home, Site},
    told::failed,
};
use crate::config::{Config, Nodes, seconds};

/// How packs are installed, for all engines.
#[derive(Debug)]
pub(super) struct Workshop {
    sources: Sources,
    settings: Settings,
    limits: Nodes,
}

/// Installs packs, here or by ComfyUI-Manager.
enum Hands {
    Local(Box<Installer>),
    Remote(Box<RemoteInstaller>),
}

impl Workshop {
    pub(super) fn open(config: &Config) -> Result<Self, String> {
        let sources = config.pack_sources()?;
        Ok(Self { sources, settings: config.nodes.settings(), limits: config.nodes.clone() })
    }

    /// Installs packs as they are pinned, and has ComfyUI prove them. What was begun is carried through, whether or not
    /// somebody waits for it.
    pub(super) async fn install(&self, site: &Site, packs: &[LockedPack], board: &Board) -> Done {
        match self.try_install(site, packs, board).await {
            Ok(outcomes) => {
                let bad = outcomes.iter().find(|outcome| !outcome.is_good());
                let fault =
                    bad.map(|outcome| format!("{}; {}", in_one_line(outcome), next_step(&outcome.became)));
                Done { items: outcomes.iter().map(told).collect(), fault, fetched: 0 }
            }
            Err(why) => {
                let next_step = "see the settings of [nodes] and of the engine, then ask again";
                let item = |pack: &LockedPack| failed(&pack.id, "not_installed", &why, next_step);
                let items = packs.iter().map(item).collect();
                Done { items, fault: Some(format!("{why}: {next_step}")), fetched: 0 }
            }
        }
    }

    async fn try_install(
        &self,
        site: &Site,
        packs: &[LockedPack],
        board: &Board,
    ) -> Result<Vec<Outcome>, String> {
        board.all("planning");
        let hands = self.hands(site).await?;
        let plan = hands.plan(packs).await?;
        board.all("installing");
        let work = tokio::spawn(async move { hands.carry_out(&plan).await });
        work.await.map_err(|_| "installing ended early".to_owned())?
    }

    async fn hands(&self, site: &Site) -> Result<Hands, String> {
        let patience = seconds(self.limits.start_timeout_s);
        let engine = |restart| Engine::new(site.client.clone(), Some(restart), patience);
        let Some(home) = &site.home else {
            let limit = seconds(self.limits.manager_timeout_s);
            let installer = RemoteInstaller::new(engine(Restart::Manager), limit).await;
            return installer.map(Box::new).map(Hands::Remote).map_err(|error| error.to_string());
        };
        let place = home.place()?;
        let (uv, limit) = (Python::find_uv().await, seconds(self.limits.python_timeout_s));
        let python = place.python().map(|program| Python::new(program.to_owned(), uv, limit));
        let restart = match home.restart_command.as_str() {
            "" => Restart::Manager,
            command => Restart::Command(shell(command)),
        };
        let Sources { git, registry } = self.sources.clone();
        let engine = Some(engine(restart));
        Ok(Hands::Local(Box::new(Installer {
            place,
            git,
            registry,
            python,
            engine,
            settings: self.settings,
        })))
    }
}

impl Hands {
    async fn plan(&self, packs: &[LockedPack]) -> Result<Plan, String> {
        match self {
            Self::Local(installer) => installer.plan_install(packs).await.map_err(|error| error.to_string()),
            Self::Remote(installer) => installer.plan_install(packs).await.map_err(|error| error.to_string()),
        }
    }

    async fn carry_out(&self, plan: &Plan) -> Result<Vec<Outcome>, String> {
        match self {
            Self::Local(installer) => installer.carry_out(plan).await.map_err(|error| error.to_string()),
            Self::Remote(installer) => installer.carry_out(plan).await.map_err(|error| error.to_string()),
        }
    }
}

impl Home {
    fn place(&self) -> Result<Place, String> {
        let python = Some(&self.python).filter(|python| !python.as_os_str().is_empty());
        Place::new(&self.comfyui, python.map(PathBuf::as_path)).map_err(|error| error.to_string())
    }
}

fn shell(command: &str) -> Vec<String> {
    ["/bin/sh", "-c", command].map(str::to_owned).to_vec()
}

/// What became of a pack, in the words of the crate that knows.
fn told(outcome: &Outcome) -> Value {
    let mut told = serde_json::to_value(outcome).unwrap_or_default();
    told["name"] = json!(outcome.pack);
    told["said"] = json!(in_one_line(outcome));
    told
}

fn in_one_line(outcome: &Outcome) -> String {
    outcome.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

fn next_step(became: &Became) -> &'static str {
    match became {
        Became::Conflict(_) => "decide by hand, then ask again",
        Became::Incomplete(_) => "pin another version in the lock",
        Became::Failed(_) | Became::RolledBack(_) => {
            "mend what is named, or pin another version, then ask again"
        }
        Became::Kept | Became::Installed | Became::Updated | Became::Removed => "nothing is to be done",
    }
}

/// Installs packs and then fetches models, as an errand says.
pub(super) async fn all(
    workshop: &Workshop,
    site: &Site,
    packs: &[LockedPack],
    board: &Arc<Board>,
    models: impl Future<Output = Done>,
) -> Done {
    let installed = workshop.install(site, packs, board).await;
    // Models of packs that are not there are of no use.
    if installed.fault.is_some() {
        return installed;
    }
    let Done { items, fault, fetched } = models.await;
    Done { items: installed.items.into_iter().chain(items).collect(), fault, fetched }
}
