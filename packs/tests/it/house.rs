//! A ComfyUI of the test's own.

use std::{fs, net::TcpListener, path::PathBuf, time::Duration};

use comfyport_comfyui::{Client, ClientConfig};
use comfyport_needs::LockedPack;
use comfyport_packs::{
    Became, Engine, Git, Installer, Outcome, Place, Plan, Process, Restart, Settings, Transports, testing,
};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const LOCAL: Transports = Transports { http: true, file: true, ssh: false };

/// A folder of ComfyUI with nothing in it.
pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        testing::furnish(folder.path());
        // Whoever takes the port in between makes the test fail, not lie.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, port }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(ClientConfig::new(format!("http://127.0.0.1:{}", self.port).parse().unwrap())).unwrap()
    }

    /// A ComfyUI that runs as a process of ours.
    pub(crate) fn engine(&self) -> Engine {
        let main = self.folder.path().join("main.py").display().to_string();
        let command = ["python3".to_owned(), main, "--port".to_owned(), self.port.to_string()].to_vec();
        let (folder, log) = (self.folder.path().to_owned(), self.folder.path().join("comfyui.log"));
        Engine::new(self.client(), Some(Restart::Process(Process { command, folder, log })), PATIENCE)
    }

    /// One that clones only, and proves nothing.
    pub(crate) fn installer(&self) -> Installer {
        Installer {
            place: Place::new(self.folder.path(), None).unwrap(),
            git: Git { transports: LOCAL, ..Git::default() },
            registry: None,
            python: None,
            engine: None,
            settings: Settings::default(),
        }
    }

    pub(crate) fn proving(&self) -> Installer {
        Installer { engine: Some(self.engine()), ..self.installer() }
    }

    pub(crate) fn pack(&self, name: &str) -> PathBuf {
        self.folder.path().join("custom_nodes").join(name)
    }

    /// What is in a room beside `custom_nodes`.
    pub(crate) fn room(&self, name: &str) -> Vec<PathBuf> {
        let room = self.folder.path().join(".comfyport").join(name);
        fs::read_dir(room).map_or(Vec::new(), |all| all.map(|entry| entry.unwrap().path()).collect())
    }
}

/// Plans and carries out.
pub(crate) async fn install(installer: &Installer, locked: &[LockedPack]) -> Vec<Outcome> {
    let plan = installer.plan_install(locked).await.unwrap();
    carry_out(installer, &plan).await
}

pub(crate) async fn carry_out(installer: &Installer, plan: &Plan) -> Vec<Outcome> {
    let outcomes = installer.carry_out(plan).await.unwrap();
    assert_eq!(outcomes.len(), plan.steps.len());
    outcomes
}

pub(crate) fn became(outcomes: &[Outcome]) -> Vec<&Became> {
    outcomes.iter().map(|outcome| &outcome.became).collect()
}

pub(crate) fn why(outcome: &Outcome) -> &str {
    match &outcome.became {
        Became::Failed(why) | Became::RolledBack(why) | Became::Conflict(why) => why,
        other => panic!("{other:?}: {:?}", outcome.notes),
    }
}
