//! `comfyport lock --resolve`: what the workflows do not say, asked of those who know.

mod live;
mod models;
mod packs;

use comfyport_depot::{Inquiry, Retries};
use comfyport_needs::{Needs, ProjectLock};
use serde::Serialize;

use self::live::Live;
use super::arguments::LockProject;
use crate::{
    commands::{self, target::Target},
    config::{Config, Overrides},
    say,
    supplies::ways,
};

/// What came of asking.
#[derive(Debug, Default, Serialize)]
pub(super) struct Resolved {
    /// What is locked now, and who said so.
    pub(super) found: Vec<String>,
    /// What somebody has to look at before it is taken.
    pub(super) suggestions: Vec<Suggestion>,
    /// Who gave no answer.
    pub(super) failures: Vec<String>,
}

/// Something that may be right.
#[derive(Debug, Serialize)]
pub(super) struct Suggestion {
    /// What is missing, and who says what.
    pub(super) what: String,
    /// The file that decides.
    pub(super) file: String,
    /// The lines for it.
    pub(super) lines: String,
}

/// Whom to ask.
pub(super) struct Resolver {
    runtime: tokio::runtime::Runtime,
    inquiry: Inquiry,
    sources: comfyport_packs::Sources,
    live: Option<Live>,
    parallel: usize,
}

impl Resolver {
    /// Nobody but the engine is asked yet.
    pub(super) fn open(arguments: &LockProject) -> Result<Self, String> {
        let config =
            Config::load(arguments.config.as_deref(), commands::environment(), &Overrides::default())
                .map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start threads: {error}"))?;
        let retries = Retries { failures: config.models.tries, ..Retries::default() };
        let inquiry = Inquiry::new(ways(&config)?, retries);
        let sources = config.pack_sources()?;
        let target = Target::choose(&config, arguments.engine.as_deref(), arguments.comfyui_url.as_ref())?;
        let live = match target {
            Some(target) => Some(runtime.block_on(Live::ask(target, &sources))?),
            None => None,
        };
        Ok(Self { runtime, inquiry, sources, live, parallel: config.models.parallel })
    }

    /// Settles by the engine what several packs could be. Its ComfyUI is the one that workflows run on.
    pub(super) fn learn(&self, needs: &mut Needs) {
        let Some(live) = &self.live else { return };
        needs.learn_modules(|class| live.classes.module(class), &live.folders);
    }

    /// Fills in what a lock leaves open.
    pub(super) fn resolve(&self, needs: &Needs, lock: &mut ProjectLock) -> Resolved {
        let mut resolved = Resolved::default();
        if let Some(live) = &self.live {
            live.pin(lock, &mut resolved);
        }
        say::line(format_args!(
            "asking for what is not known of {} models and {} node packs",
            lock.models.iter().filter(|model| models::is_open(model)).count(),
            lock.packs.iter().filter(|pack| packs::is_open(pack)).count(),
        ));
        self.runtime.block_on(async {
            models::resolve(&self.inquiry, self.parallel, lock, &mut resolved).await;
            packs::resolve(&self.sources, lock, &mut resolved).await;
            packs::suggest(&self.sources, self.live.as_ref(), needs, &mut resolved).await;
        });
        resolved
    }
}

/// Text of others as a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
