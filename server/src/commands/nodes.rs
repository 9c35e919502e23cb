//! `comfyport nodes`: the node packs that workflows need, and those that are there.

pub(crate) mod arguments;
pub(crate) mod needed;
mod show;
mod site;

use std::process::ExitCode;

use comfyport_endpoint::Endpoint;
use comfyport_needs::{LockedPack, same_repository};
use comfyport_packs::{Outcome, Plan};

use self::{
    arguments::{NodeAction, Nodes},
    needed::Needed,
    site::Site,
};
use crate::{
    cli::Format,
    commands::files,
    config::{Config, Overrides},
    say,
    supplies::read_lock,
};

/// What there is to print, and whether all is as it should be.
type Printed = Result<(String, bool), String>;

/// Exits 0; 1 if something is missing, undecided or could not be done; 2 on wrong usage or configuration.
pub(crate) fn run(arguments: &Nodes, endpoints: &[&Endpoint]) -> ExitCode {
    super::block_on(async {
        // Whoever is stopped takes along what was started: git, pip, a ComfyUI on trial.
        tokio::select! {
            outcome = Box::pin(done(arguments, endpoints)) => match outcome {
                Ok((text, fine)) => {
                    let said = say::data(&text);
                    if fine { said } else { ExitCode::from(1) }
                }
                Err(error) => say::refuse(error),
            },
            _ = tokio::signal::ctrl_c() => {
                say::line("stopped: packs that were put in so far stay, and were not proved; run it again");
                ExitCode::from(1)
            }
        }
    })
}

async fn done(arguments: &Nodes, endpoints: &[&Endpoint]) -> Printed {
    let config = Config::load(arguments.config.as_deref(), super::environment(), &Overrides::default())
        .map_err(|error| error.to_string())?;
    let needed = Needed::gather(endpoints, arguments.lock.as_deref(), &arguments.workflow)?;
    let site = Site::open(&arguments.site, &config).await?;
    let desk = Desk { needed, site, format: arguments.format };
    match &arguments.action {
        NodeAction::Install(wanted) => desk.install(wanted.dry_run).await,
        NodeAction::List => desk.list().await,
        NodeAction::Update(wanted) => desk.update(&wanted.packs, wanted.apply).await,
        NodeAction::Remove(wanted) => desk.remove(&wanted.packs, wanted.apply).await,
    }
}

/// What all of it is done with.
struct Desk {
    needed: Needed,
    site: Site,
    format: Format,
}

impl Desk {
    async fn install(&self, dry_run: bool) -> Printed {
        let plan = self.site.plan_install(&self.needed.packs).await?;
        let outcomes = if dry_run { None } else { Some(self.carry_out(&plan).await?) };
        let report = show::Report {
            site: self.site.shown(),
            plan: &plan,
            outcomes: outcomes.as_deref(),
            not_installed: &self.needed.loose,
            lock: None,
            hint: dry_run.then_some("nothing was done: without --dry-run it is"),
        };
        Ok((report.print(self.format), report.is_fine()))
    }

    async fn list(&self) -> Printed {
        let installed = self.site.installed().await?;
        let classes = self.site.classes().await;
        Ok((show::list(&installed, &self.needed, classes.as_ref(), self.format), true))
    }

    async fn update(&self, names: &[String], apply: bool) -> Printed {
        let (newest, mut plan) = self.site.plan_update(names).await?;
        // What workflows need has to be there afterwards, too.
        for step in &mut plan.steps {
            let pin = newest.iter().find(|pack| pack.id == step.pack);
            if let Some(locked) =
                pin.and_then(|pin| self.needed.packs.iter().find(|locked| is_same(locked, pin)))
            {
                step.classes.clone_from(&locked.classes);
            }
        }
        let outcomes = if apply { Some(self.carry_out(&plan).await?) } else { None };
        let lock = match &outcomes {
            Some(outcomes) => self.pin_anew(&newest, outcomes)?,
            None => None,
        };
        let report = show::Report {
            site: self.site.shown(),
            plan: &plan,
            outcomes: outcomes.as_deref(),
            not_installed: &[],
            lock,
            hint: (!apply).then_some("nothing was done yet: --apply does it"),
        };
        Ok((report.print(self.format), report.is_fine()))
    }

    async fn remove(&self, names: &[String], apply: bool) -> Printed {
        let plan = self.site.plan_remove(names).await?;
        for step in &plan.steps {
            let is_it = |locked: &&LockedPack| locked.id.eq_ignore_ascii_case(&step.pack);
            if let Some(locked) = self.needed.packs.iter().find(is_it) {
                let users = locked.workflows.join(", ");
                say::line(format_args!("warning: {} is needed by {users}", step.pack));
            }
        }
        let outcomes = if apply { Some(self.carry_out(&plan).await?) } else { None };
        let report = show::Report {
            site: self.site.shown(),
            plan: &plan,
            outcomes: outcomes.as_deref(),
            not_installed: &[],
            lock: None,
            hint: (!apply).then_some("nothing was done yet: --apply does it"),
        };
        Ok((report.print(self.format), report.is_fine()))
    }

    /// Says what is going to happen, and does it.
    async fn carry_out(&self, plan: &Plan) -> Result<Vec<Outcome>, String> {
        for step in &plan.steps {
            say::line(show::harmless(&step.to_string()));
        }
        self.site.carry_out(plan).await
    }

    /// The lock follows what was updated, or the next installation would take it back. Answers what was written.
    fn pin_anew(&self, newest: &[LockedPack], outcomes: &[Outcome]) -> Result<Option<String>, String> {
        let Some(path) = &self.needed.lock else { return Ok(None) };
        let mut lock = read_lock(Some(path))?;
        let before = lock.clone();
        for pin in newest {
            let Some(outcome) = outcomes.iter().find(|outcome| outcome.pack == pin.id && outcome.is_good())
            else {
                continue;
            };
            if let Some(locked) = lock.packs.iter_mut().find(|locked| is_same(locked, pin)) {
                locked.version.clone_from(&pin.version);
                locked.commit.clone_from(&pin.commit);
                if !outcome.requirements.is_empty() {
                    locked.requirements.clone_from(&outcome.requirements);
                }
            }
        }
        if lock == before {
            return Ok(None);
        }
        files::replace(path, lock.write().as_bytes())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Some(path.display().to_string()))
    }
}

/// Whether two pins are those of one pack.
fn is_same(locked: &LockedPack, other: &LockedPack) -> bool {
    let repositories = locked.repository.as_deref().zip(other.repository.as_deref());
    locked.id.eq_ignore_ascii_case(&other.id)
        || repositories.is_some_and(|(left, right)| same_repository(left, right))
}
