//! The ComfyUI that is to run the packs: started anew, awaited, and asked what it has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::PathBuf,
    time::Duration,
};

use comfyport_comfyui::{Client, ClientError, ExtensionBody};
use http::Method;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use crate::{
    installed,
    manager::{Manager, ManagerError},
    tool::{self, Group, Tool, ToolError, last_lines},
};

/// Between two looks at a ComfyUI that is starting.
const LOOK: Duration = Duration::from_millis(200);

/// How long one look may take.
const GLANCE: Duration = Duration::from_secs(5);

/// How long a process is given to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(10);

/// How long a ComfyUI that was told to restart may go on as if nothing had been said.
const OBEY: Duration = Duration::from_secs(15);

/// How many of its last lines are told when it does not start.
const TOLD: usize = 15;

/// How ComfyUI is started anew.
#[derive(Debug, Clone)]
pub enum Restart {
    /// A command, program first. It has to end when the former ComfyUI is gone.
    Command(Vec<String>),
    /// A process of our own.
    Process(Process),
    /// ComfyUI-Manager restarts the ComfyUI that it runs in.
    Manager,
}

/// A ComfyUI that is run as a process of our own.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its program and arguments.
    pub command: Vec<String>,
    /// Where it is run.
    pub folder: PathBuf,
    /// Where its words go; each start begins anew.
    pub log: PathBuf,
}

/// A ComfyUI by its address.
#[derive(Debug)]
pub struct Engine {
    client: Client,
    restart: Option<Restart>,
    patience: Duration,
    process: Mutex<Option<Group>>,
}

/// Why a ComfyUI is not there after it was started anew.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody said how.
    #[error("nobody said how ComfyUI is restarted")]
    NotTold,
    /// The command that starts it failed.
    #[error("restarting ComfyUI: {0}")]
    Command(#[from] ToolError),
    /// The Manager does not restart it.
    #[error("restarting ComfyUI: {0}")]
    Manager(#[from] ManagerError),
    /// It was told to restart, and goes on.
    #[error("ComfyUI was told to restart, and still answers after {0} s")]
    Stays(u64),
    /// It cannot be started.
    #[error("ComfyUI cannot be started: {0}")]
    Io(#[from] io::Error),
    /// It ended.
    #[error("ComfyUI ended while it started ({status}): {said}")]
    Ended {
        /// How.
        status: String,
        /// The last of what it said.
        said: String,
    },
    /// It does not answer.
    #[error("ComfyUI did not answer within {seconds} s{said}")]
    Late {
        /// How long it was given.
        seconds: u64,
        /// The last of what it said, if that is known.
        said: String,
    },
}

/// What a ComfyUI has: its classes by name, each with the module it is from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes(BTreeMap<String, String>);

impl Classes {
    /// Whether there is such a class.
    pub fn has(&self, class: &str) -> bool {
        self.0.contains_key(class)
    }

    /// The module that a class is from, such as `custom_nodes.pack`.
    pub fn module(&self, class: &str) -> Option<&str> {
        self.0.get(class).map(String::as_str)
    }

    /// Whether any class is from the pack in this folder or file below `custom_nodes`.
    pub fn any_of(&self, folder: &str) -> bool {
        let module = folder.strip_suffix(".py").unwrap_or(folder);
        self.0.values().any(|from| from.strip_prefix("custom_nodes.").is_some_and(|from| from == module))
    }
}

/// What ComfyUI said of packs that it could not import, by their folders.
pub type ImportFailures = BTreeMap<String, String>;

impl Engine {
    /// A ComfyUI. When it is started anew, it is awaited for `patience`.
    pub fn new(client: Client, restart: Option<Restart>, patience: Duration) -> Self {
        Self { client, restart, patience, process: Mutex::new(None) }
    }

    /// Whether it can be restarted.
    pub fn can_restart(&self) -> bool {
        self.restart.is_some()
    }

    /// The client it is asked by.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it answers.
    pub async fn is_up(&self) -> bool {
        matches!(timeout(GLANCE, self.client.system_stats()).await, Ok(Ok(_)))
    }

    /// Starts it anew and waits until it answers.
    pub async fn restart(&self) -> Result<(), StartError> {
        match self.restart.as_ref().ok_or(StartError::NotTold)? {
            Restart::Command(command) => {
                let (program, args) = command.split_first().ok_or(StartError::NotTold)?;
                Tool::new(program.as_ref(), program, self.patience).args(args).launch().await?;
            }
            Restart::Process(process) => {
                self.stop().await;
                *self.process.lock().await = Some(start(process)?);
            }
            Restart::Manager => {
                Manager::detect(self.client.clone()).await?.reboot().await?;
                self.await_gone().await?;
            }
        }
        self.await_up().await
    }

    /// Ends a process of our own.
    pub async fn stop(&self) {
        let Some(mut group) = self.process.lock().await.take() else { return };
        group.ask_to_end();
        // Whoever does not end is killed with the group.
        let _ = timeout(FAREWELL, group.process.wait()).await;
    }

    /// The classes it has.
    pub async fn classes(&self) -> Result<Classes, ClientError> {
        let said = self.client.object_info().await?;
        let said = said.as_object().ok_or(ClientError::Shape("object_info"))?;
        let module = |module: Option<&str>| module.unwrap_or_default().to_owned();
        let classes = said.iter().map(|(name, class)| {
            (name.clone(), module(class.get("python_module").and_then(|module| module.as_str())))
        });
        Ok(Classes(classes.collect()))
    }

    /// What it said of packs that it could not import. Empty if nobody knows what it says.
    pub async fn import_failures(&self) -> ImportFailures {
        failures(&self.words().await)
    }

    async fn await_gone(&self) -> Result<(), StartError> {
        let until = Instant::now() + OBEY;
        while self.is_up().await {
            if Instant::now() >= until {
                return Err(StartError::Stays(OBEY.as_secs()));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn await_up(&self) -> Result<(), StartError> {
        let until = Instant::now() + self.patience;
        loop {
            self.has_not_ended().await?;
            if self.is_up().await {
                // Whatever answers at the address of a process that has ended is another one.
                return self.has_not_ended().await;
            }
            if Instant::now() >= until {
                let said = last_lines(&self.words().await, TOLD);
                let said = if said.is_empty() { said } else { format!(": {said}") };
                return Err(StartError::Late { seconds: self.patience.as_secs(), said });
            }
            sleep(LOOK).await;
        }
    }

    async fn has_not_ended(&self) -> Result<(), StartError> {
        let mut process = self.process.lock().await;
        let ended = process.as_mut().and_then(|group| group.process.try_wait().ok().flatten());
        let Some(status) = ended else { return Ok(()) };
        *process = None;
        drop(process);
        let said = last_lines(&self.words().await, TOLD);
        Err(StartError::Ended { status: status.to_string(), said })
    }

    /// What it said since it was started.
    async fn words(&self) -> String {
        if let Some(Restart::Process(process)) = &self.restart {
            return installed::read(&process.log).unwrap_or_default();
        }
        let asked = self.client.extension(Method::GET, &["internal", "logs"], &[], ExtensionBody::None);
        let Ok(Ok(said)) = timeout(GLANCE, asked).await else { return String::new() };
        serde_json::from_slice(&said.body).unwrap_or_default()
    }
}

fn start(process: &Process) -> Result<Group, StartError> {
    let (program, args) = process.command.split_first().ok_or(StartError::NotTold)?;
    let log = File::create(&process.log)?;
    let mut command = tool::command(program.as_ref());
    command.args(args).current_dir(&process.folder).stdout(log.try_clone()?).stderr(log);
    Ok(Group::of(command.spawn()?))
}

/// Reads what ComfyUI says at its start: which packs failed, and why as far as it says that.
fn failures(words: &str) -> ImportFailures {
    let folder = |path: &str| path.trim().trim_end_matches('/').rsplit(['/', '\\']).next().map(str::to_owned);
    let mut failed = BTreeSet::new();
    let mut reasons = ImportFailures::new();
    for line in words.lines() {
        if let Some((_, path)) = line.split_once("(IMPORT FAILED): ") {
            failed.extend(folder(path));
        } else if let Some((_, rest)) = line.split_once("Cannot import ")
            && let Some((path, why)) = rest.split_once(" module for custom nodes:")
            && let Some(folder) = folder(path)
        {
            reasons.insert(folder, why.trim().to_owned());
        }
    }
    failed.into_iter().map(|folder| (folder.clone(), reasons.remove(&folder).unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_of_imports_is_understood() {
        let words = "\
2026-01-01 - Cannot import /c/custom_nodes/bad one module for custom nodes: No module named 'x'
Import times for custom nodes:
   0.0 seconds: /c/custom_nodes/good
   0.1 seconds (IMPORT FAILED): /c/custom_nodes/bad one
   0.1 seconds (IMPORT FAILED): C:\\c\\custom_nodes\\other
IMPORT FAILED: nodes_x.py
";
        let said = failures(words);
        let said: Vec<(&str, &str)> =
            said.iter().map(|(folder, why)| (folder.as_str(), why.as_str())).collect();
        assert_eq!(said, [("bad one", "No module named 'x'"), ("other", "")]);
    }

    #[test]
    fn classes_belong_to_folders() {
        let of = |module: &str| Classes([("A".to_owned(), module.to_owned())].into());
        assert!(of("custom_nodes.pack").any_of("pack"));
        assert!(of("custom_nodes.one").any_of("one.py"));
        assert!(!of("custom_nodes.pack-two").any_of("pack"));
        assert!(!of("nodes").any_of("nodes"));
    }
}
