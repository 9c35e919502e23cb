//! A ComfyUI of the test's own, and repositories to install from.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use comfyport_comfyui::{Client, ClientConfig};
use comfyport_needs::LockedPack;
use comfyport_packs::{
    Became, Engine, Git, Installer, Outcome, Place, Plan, Process, Restart, Settings, Transports,
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
        fs::create_dir(folder.path().join("custom_nodes")).unwrap();
        // Whoever takes the port in between makes the test fail, not lie.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, port }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(ClientConfig::new(format!("http://127.0.0.1:{}", self.port).parse().unwrap())).unwrap()
    }

    /// A ComfyUI that runs as a process of ours.
    pub(crate) fn engine(&self) -> Engine {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/comfyui.py");
        let command = vec![
            "python3".to_owned(),
            script.display().to_string(),
            self.port.to_string(),
            self.folder.path().display().to_string(),
        ];
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

/// The text of a pack that has these classes.
pub(crate) fn nodes(classes: &[&str]) -> String {
    let classes: Vec<String> = classes.iter().map(|class| format!("\"{class}\": object")).collect();
    format!("NODE_CLASS_MAPPINGS = {{{}}}\n", classes.join(", "))
}

/// A repository whose commits are made by the test.
pub(crate) struct Repository {
    pub(crate) folder: TempDir,
    name: String,
}

impl Repository {
    pub(crate) fn new(name: &str) -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap(), name: name.to_owned() };
        fs::create_dir(repository.path()).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.path(), args)
    }

    /// Writes files and answers the commit of them.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let path = self.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// It, locked at a commit for these classes.
    pub(crate) fn at(&self, commit: &str, classes: &[&str]) -> LockedPack {
        locked(&self.name, &self.url(), commit, classes)
    }
}

pub(crate) fn locked(id: &str, url: &str, commit: &str, classes: &[&str]) -> LockedPack {
    LockedPack {
        id: id.to_owned(),
        repository: Some(url.to_owned()),
        commit: Some(commit.to_owned()),
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        ..LockedPack::default()
    }
}

pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}
