//! Packs of a ComfyUI elsewhere, by its ComfyUI-Manager.

use std::time::Duration;

use comfyport_needs::LockedPack;

use crate::{
    engine::{Classes, Engine, StartError},
    installed::Installed,
    manager::{Complaints, Manager, ManagerError, Task},
    outcome::{Became, Outcome},
    plan::{Action, Plan, Source, Step},
    source::Transports,
    sources::Sources,
};

/// Installs packs by the ComfyUI-Manager of a ComfyUI.
#[derive(Debug)]
pub struct RemoteInstaller {
    manager: Manager,
    engine: Engine,
    limit: Duration,
}

/// Why nothing can be said of what was done.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The Manager does not do it.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// ComfyUI does not come back.
    #[error(
        "{0}; what was done stays: take the last pack out by hand, or restart ComfyUI and look into its log"
    )]
    Start(#[from] StartError),
}

impl RemoteInstaller {
    /// By the Manager of the ComfyUI behind `engine`, which may be at work for `limit`.
    pub async fn new(engine: Engine, limit: Duration) -> Result<Self, ManagerError> {
        let manager = Manager::detect(engine.client().clone()).await?;
        Ok(Self { manager, engine, limit })
    }

    /// The Manager.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// The ComfyUI that it runs in.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What it takes for these packs to be there as they are locked, after what the Manager says is there.
    pub async fn plan_install(&self, locked: &[LockedPack]) -> Result<Plan, ManagerError> {
        Ok(Plan::install(&self.manager.installed().await?, locked, Transports::default()))
    }

    /// What it takes for packs of these names, or for all that can be, to be at their newest; and how they would be
    /// locked then.
    pub async fn plan_update(
        &self,
        names: &[String],
        sources: &Sources,
    ) -> Result<(Vec<LockedPack>, Plan), ManagerError> {
        let installed = self.manager.installed().await?;
        let (newest, refused) = sources.newest_of(&installed, names).await;
        let mut plan = Plan::install(&installed, &newest, Transports::default());
        plan.steps.extend(refused);
        Ok((newest, plan))
    }

    /// What it takes for packs of these names to be gone.
    pub async fn plan_remove(&self, names: &[String]) -> Result<Plan, ManagerError> {
        Ok(Plan::remove(&self.manager.installed().await?, names))
    }

    /// Carries a plan out, restarts ComfyUI, and looks what is there: one outcome for each step.
    pub async fn carry_out(&self, plan: &Plan) -> Result<Vec<Outcome>, RemoteError> {
        let mut complaints = Complaints::new();
        if !plan.is_idle() {
            let tasks = self.tasks(plan).await?;
            complaints = self.manager.work(&tasks, self.limit).await?;
            // If all was refused, there is nothing to restart for.
            if tasks.iter().any(|task| !complaints.contains_key(task.pack())) {
                self.engine.restart().await?;
            }
        }
        let installed = self.manager.installed().await?;
        let classes = self.engine.classes().await.map_err(ManagerError::from)?;
        let mut outcomes = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let complaint = complaints.get(&step.pack).map(String::as_str);
            outcomes.push(self.judge(step, complaint, &installed, &classes).await);
        }
        Ok(outcomes)
    }

    async fn tasks(&self, plan: &Plan) -> Result<Vec<Task>, ManagerError> {
        let installed = self.manager.installed().await?;
        let task = |step: &Step| match &step.action {
            Action::Install(source) | Action::Update { to: source, .. } => {
                Some(Task::Install { pack: step.pack.clone(), source: source.clone() })
            }
            Action::Remove { .. } => {
                let installed = installed.iter().find(|one| one.folder == step.folder)?.clone();
                Some(Task::Uninstall { pack: step.pack.clone(), installed })
            }
            Action::Keep { .. } | Action::Conflict(_) => None,
        };
        Ok(plan.steps.iter().filter_map(task).collect())
    }

    /// What became of a step, by what is there.
    async fn judge(
        &self,
        step: &Step,
        complaint: Option<&str>,
        installed: &[Installed],
        classes: &Classes,
    ) -> Outcome {
        let (mut notes, mut proved) = (Vec::new(), false);
        let failed = |why: String| match complaint {
            Some(complaint) => Became::Failed(complaint.to_owned()),
            None => Became::Failed(format!("ComfyUI-Manager said that it was done, and {why}")),
        };
        let became = match &step.action {
            Action::Conflict(why) => Became::Conflict(why.clone()),
            Action::Keep { .. } => {
                let missing = missing(step, classes);
                proved = !step.classes.is_empty() && missing.is_empty();
                notes.extend((!missing.is_empty()).then(|| format!("ComfyUI has no {}", missing.join(", "))));
                Became::Kept
            }
            Action::Remove { .. } => {
                let is_there = installed.iter().any(|one| one.folder == step.folder);
                proved = !is_there && !classes.any_of(&step.folder);
                if proved { Became::Removed } else { failed("it is still there".to_owned()) }
            }
            Action::Install(source) | Action::Update { to: source, .. } => {
                let missing = missing(step, classes);
                match whereabouts(step, source, installed) {
                    Err(why) => failed(why),
                    Ok(folder) if missing.is_empty() => {
                        notes.extend(complaint.map(|said| format!("it is there, although: {said}")));
                        proved = !step.classes.is_empty() || classes.any_of(&folder);
                        match step.action {
                            Action::Install(_) => Became::Installed,
                            _ => Became::Updated,
                        }
                    }
                    Ok(folder) if classes.any_of(&folder) => Became::Incomplete(missing),
                    Ok(_) => {
                        let why = self.manager.import_failure(source).await;
                        let why = why.unwrap_or_else(|| "look into its log".to_owned());
                        Became::Failed(format!("it is there, and ComfyUI could not import it: {why}"))
                    }
                }
            }
        };
        let (pack, folder) = (step.pack.clone(), step.folder.clone());
        Outcome { pack, folder, became, proved, requirements: Vec::new(), packages: Vec::new(), notes }
    }
}

impl Task {
    fn pack(&self) -> &str {
        match self {
            Self::Install { pack, .. } | Self::Uninstall { pack, .. } => pack,
        }
    }
}

fn missing(step: &Step, classes: &Classes) -> Vec<String> {
    step.classes.iter().filter(|class| !classes.has(class)).cloned().collect()
}

/// The folder in which a pack is exactly as it was to be, or how it is instead.
fn whereabouts(step: &Step, source: &Source, installed: &[Installed]) -> Result<String, String> {
    let (repository, commit, version) = match source {
        Source::Git { repository, commit } => {
            (Some(repository.as_str().to_owned()), Some(commit.as_str().to_owned()), None)
        }
        Source::Registry { version, .. } => (None, None, Some(version.clone())),
    };
    let locked = LockedPack { id: step.pack.clone(), repository, commit, version, ..LockedPack::default() };
    let plan = Plan::install(installed, &[locked], Transports::default());
    match plan.steps.into_iter().next() {
        Some(Step { action: Action::Keep { .. }, folder, .. }) => Ok(folder),
        Some(Step { action: Action::Install(_), .. }) | None => Err("it is not there".to_owned()),
        Some(Step { action: Action::Update { from, .. }, .. }) => Err(format!("it is at {from}")),
        Some(Step { action: Action::Conflict(why), .. }) => Err(why),
        Some(Step { action: Action::Remove { .. }, .. }) => Err("it is being removed".to_owned()),
    }
}
