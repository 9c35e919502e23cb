//! What it takes for an engine to have what it lacks.

use super::{
    Needed, Supplies,
    errand::{Errand, Kind},
    site::Site,
};
use crate::{
    config::InstallMissing,
    endpoints::Snapshot,
    readiness::{Missing, MissingModel, canonical, plain},
};

impl Supplies {
    /// What would have to be fetched for an engine; nothing if it would not be enough. Only what the project itself named
    /// is fetched, from where it says.
    pub(crate) fn mend(&self, site: &Site, missing: &Missing, endpoints: &Snapshot) -> Option<Errand> {
        let hopeless = !missing.inputs.is_empty() || !missing.chosen.is_empty() || missing.is_empty();
        if hopeless || self.settings.install_missing == InstallMissing::Never {
            return None;
        }
        let mut errand = Errand::of(&site.engine);
        // Packs first: nodes of theirs may know of further folders.
        if !missing.classes.is_empty() {
            return None;
        }
        if !self.does(Kind::Pull, &site.engine) {
            return None;
        }
        let needed = self.needed(endpoints);
        errand.models = missing.models.iter().map(|model| source(model, &needed)).collect::<Option<_>>()?;
        Some(errand)
    }
}

/// Where a model can be had, if that is known.
fn source(model: &MissingModel, needed: &[Needed]) -> Option<Needed> {
    let is_it = |one: &&Needed| canonical(&one.folder) == model.folder && plain(&one.file) == model.file;
    let found = needed.iter().find(is_it).filter(|found| !found.urls.is_empty() || found.sha256.is_some())?;
    // By its newer name, which engines of any age read.
    let found = Needed { folder: model.folder.clone(), file: model.file.clone(), ..found.clone() };
    found.wanted().is_ok().then_some(found)
}
