//! What workflows need and engines may lack: models and node packs.
//!
//! It is known here what is needed and where it can be had (`Needed`), and which engines have their folders on this
//! machine. Which engine has what is the business of [`crate::readiness`]; how files are fetched, of `comfyport-depot`; how
//! packs are installed, of `comfyport-packs`. Nothing here knows of queues.

pub mod board;
pub mod errand;
mod give;
mod install;
mod lock;
mod mend;
mod needed;
mod pull;
mod site;
mod told;
mod ways;

use std::sync::Arc;

use comfyport_depot::{Settings, Ways};
use comfyport_endpoint::Endpoint;
use comfyport_needs::ProjectLock;
use futures_util::{FutureExt, future::BoxFuture};

pub use give::Given;
pub(crate) use lock::read_lock;
pub(crate) use needed::{Needed, gather};
pub use pull::Done;
pub use site::Site;
pub(crate) use told::pulled;
pub(crate) use ways::ways;

use crate::{
    config::{self, Config, InstallMissing},
    endpoints::Snapshot,
    pool::Pool,
};
use board::Board;
use errand::{Errand, Kind};
use install::Workshop;
use lock::Locked;

/// What is needed, and the folders of engines.
#[derive(Debug)]
pub struct Supplies {
    /// What may be done.
    pub settings: config::Supplies,
    lock: Locked,
    sites: Vec<Site>,
    /// Or why nobody can be asked.
    ways: Result<Ways, String>,
    workshop: Workshop,
}

impl Supplies {
    /// Reads the lock, and looks whether the folders are there.
    pub fn open(config: &Config, pool: &Pool) -> Result<Self, String> {
        let lock = Some(config.supplies.lock.clone()).filter(|path| !path.as_os_str().is_empty());
        // Places are in the order of the configuration, and called otherwise where they are simulated.
        let engines = config.engines().into_iter().zip(pool.places());
        let sites: Result<Vec<Site>, String> =
            engines.map(|(engine, place)| Site::open(place.name(), &engine, config)).collect();
        let this = Self {
            settings: config.supplies.clone(),
            lock: Locked::open(lock)?,
            sites: sites?,
            ways: ways(config),
            workshop: Workshop::open(config)?,
        };
        if let Err(why) = this.ways.as_ref().map(drop).map_err(String::clone)
            && config.supplies.are_used()
        {
            return Err(why);
        }
        if config.supplies.give && !this.sites.iter().any(|site| site.models.is_some()) {
            return Err(
                "`supplies.give` gives out the files of a models folder, and none is named: set `models_dir` or `comfyui` of an engine, or `models.dir`".to_owned(),
            );
        }
        Ok(this)
    }

    /// What the project's lock says.
    pub fn locked(&self) -> Arc<ProjectLock> {
        self.lock.now()
    }

    /// The models that workflows need, in the order of folders and files.
    pub(crate) fn needed(&self, endpoints: &Snapshot) -> Vec<Needed> {
        let served: Vec<&Endpoint> = endpoints.served().map(|endpoint| &**endpoint).collect();
        // Without a choice of workflows nothing can be wrong with it.
        gather(&served, &self.locked(), &[]).unwrap_or_default()
    }

    /// The engines' folders.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The folders of an engine.
    pub fn site(&self, engine: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.engine == engine)
    }

    /// Whether errands of a kind are done here for an engine.
    pub fn does(&self, kind: Kind, engine: &str) -> bool {
        self.site(engine).is_some_and(|site| match kind {
            Kind::Pull => site.models.is_some(),
            // Where there is no folder, ComfyUI-Manager is asked, unless another server has one.
            Kind::Install => {
                let on = self.settings.install || self.settings.install_missing == InstallMissing::All;
                on && (site.home.is_some() || !self.settings.elsewhere)
            }
        })
    }

    /// Whether they are done, here or by a server that shares the store.
    pub fn are_done(&self, kind: Kind, engine: &str) -> bool {
        self.settings.elsewhere || self.does(kind, engine)
    }

    /// Whether there is anything at all that could be done for jobs that need what no engine has.
    pub fn may_help(&self) -> bool {
        let here = self.settings.elsewhere || self.models().next().is_some();
        here || self.settings.install_missing != InstallMissing::Never
    }

    /// How many errands of a kind are done for an engine at the same time.
    pub fn at_once(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Pull => self.settings.parallel,
            // ComfyUI is started anew for each.
            Kind::Install => 1,
        }
    }

    /// Does an errand. If it is dropped, what has arrived is kept.
    pub fn run<'a>(&'a self, kind: Kind, errand: &'a Errand, board: &'a Arc<Board>) -> BoxFuture<'a, Done> {
        let Some(site) = self.site(&errand.engine).filter(|_| self.does(kind, &errand.engine)) else {
            let why = format!(
                "the folders of engine `{}` are not on this machine: set `models_dir` or `comfyui` of it, or `models.dir`",
                errand.engine
            );
            return async { Done { items: Vec::new(), fault: Some(why), fetched: 0 } }.boxed();
        };
        let models = self.pull(site, errand, board);
        match kind {
            Kind::Pull => models.boxed(),
            Kind::Install => install::all(&self.workshop, site, &errand.packs, board, models).boxed(),
        }
    }

    /// The models folders of this machine.
    fn models(&self) -> impl Iterator<Item = &Settings> {
        self.sites.iter().filter_map(|site| site.models.as_ref())
    }
}
