//! `comfyport models`: the models that workflows need, and those that are there.

pub(crate) mod arguments;
mod pull;
pub(crate) mod show;
mod watch;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use comfyport_depot::{Depot, ModelName, PullError, Settings, Shelf};
use comfyport_endpoint::Endpoint;

use self::arguments::{ModelAction, ModelPlan, Models};
use crate::{
    cli::Format,
    commands::target::Target,
    config::{Config, Overrides},
    say,
    supplies::{Needed, gather, read_lock, ways},
};

/// What files hash to, beside the cache.
const INDEX: &str = "index.json";

/// What there is to print, and whether all is as it should be.
type Outcome = Result<(String, bool), String>;

/// Exits 0; 1 if something is missing, wrong or could not be done; 2 on wrong usage or configuration.
pub(crate) fn run(arguments: &Models, endpoints: &[&Endpoint]) -> ExitCode {
    let outcome = Desk::open(arguments, endpoints).and_then(|desk| desk.act(&arguments.action));
    match outcome {
        Ok((text, fine)) => {
            let said = say::data(&text);
            if fine { said } else { ExitCode::from(1) }
        }
        Err(error) => say::refuse(error),
    }
}

/// What all of it is done with.
struct Desk {
    config: Config,
    settings: Settings,
    needed: Vec<Needed>,
    format: Format,
}

impl Desk {
    fn open(arguments: &Models, endpoints: &[&Endpoint]) -> Result<Self, String> {
        let mut config =
            Config::load(arguments.config.as_deref(), super::environment(), &Overrides::default())
                .map_err(|error| error.to_string())?;
        if let Some(cache) = &arguments.cache {
            config.models.cache.clone_from(cache);
        }
        let of_engine = Target::choose(&config, arguments.engine.as_deref(), None)?;
        let of_engine = of_engine.map(|engine| engine.models.ok_or_else(|| unknown_folder(&engine.name)));
        let dir =
            arguments.to.clone().or(of_engine.transpose()?).unwrap_or_else(|| config.models.dir.clone());
        if dir.as_os_str().is_empty() {
            return Err("which models folder? Say --to DIR, or set `models.dir`".to_owned());
        }
        // Whoever names a folder that does not exist has mistyped it: no second one is made beside it.
        if !dir.is_dir() {
            return Err(format!("{}: there is no such folder; name ComfyUI's models folder", dir.display()));
        }
        let settings = config.models.settings(&dir)?;
        let needed = gather(endpoints, &read_lock(arguments.lock.as_deref())?, &arguments.workflow)?;
        Ok(Self { config, settings, needed, format: arguments.format })
    }

    fn act(&self, action: &ModelAction) -> Outcome {
        match action {
            ModelAction::Pull(wanted) => self.pull(wanted),
            ModelAction::List => self.list(),
            ModelAction::Verify(wanted) => self.verify(wanted.afresh),
            ModelAction::Organize(wanted) => self.organize(wanted),
            ModelAction::Cleanup(wanted) => self.cleanup(wanted),
            ModelAction::Report => self.report(),
        }
    }

    fn dir(&self) -> &Path {
        &self.settings.models
    }

    fn index(&self) -> PathBuf {
        self.settings.cache.join(INDEX)
    }

    fn shelf(&self) -> Result<Shelf, String> {
        // The index is written into the cache.
        std::fs::create_dir_all(&self.settings.cache)
            .map_err(|error| format!("{}: {error}", self.settings.cache.display()))?;
        let shelf = Shelf::open(self.dir(), Some(&self.index())).map_err(in_words)?;
        Ok(shelf.links_may_leave(self.settings.links_may_leave))
    }

    fn depot(&self, settings: Settings) -> Result<Depot, String> {
        Depot::new(settings, ways(&self.config)?).map_err(in_words)
    }

    fn list(&self) -> Outcome {
        let models = self.shelf()?.list().map_err(in_words)?;
        Ok((show::list(&models, &self.needed, self.format), true))
    }

    fn verify(&self, afresh: bool) -> Outcome {
        let wanted: Vec<_> = self.needed.iter().filter_map(|needed| needed.wanted().ok()).collect();
        let verdicts = self.shelf()?.verify(&wanted, afresh).map_err(in_words)?;
        let fine = verdicts.iter().all(|verdict| !verdict.state.is_fault());
        Ok((show::verdicts(&verdicts, self.format), fine))
    }

    fn organize(&self, wanted: &ModelPlan) -> Outcome {
        let shelf = self.shelf()?;
        let plan = shelf.organize().map_err(in_words)?;
        let outcomes = wanted.apply.then(|| shelf.carry_out(&plan));
        Ok(show::plan(&plan, outcomes.as_deref(), self.format))
    }

    fn cleanup(&self, wanted: &ModelPlan) -> Outcome {
        if self.needed.is_empty() {
            return Err(
                "no workflow needs any model, so all of them would go; is the lock the right one?".to_owned()
            );
        }
        let names: Vec<ModelName> = self.needed.iter().filter_map(Needed::any_name).collect();
        let shelf = self.shelf()?;
        let plan = shelf.cleanup(&names).map_err(in_words)?;
        let outcomes = wanted.apply.then(|| shelf.carry_out(&plan));
        Ok(show::plan(&plan, outcomes.as_deref(), self.format))
    }

    fn report(&self) -> Outcome {
        let mut shelf = self.shelf()?;
        let models = shelf.list().map_err(in_words)?;
        let duplicates = shelf.duplicates().map_err(in_words)?;
        Ok(show::report(&self.needed, &models, &duplicates, self.format))
    }
}

fn unknown_folder(engine: &str) -> String {
    format!(
        "engine {engine} has no models folder on this machine: name it as `models_dir` or `comfyui` of its [[engine]], or \
         say --to DIR"
    )
}

/// An error with what to do about it.
fn in_words(error: PullError) -> String {
    format!("{error}\n  help: {}", error.next_step())
}
