//! What it takes for an engine to have what it lacks.

use comfyport_needs::LockedPack;

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
        if !missing.classes.is_empty() {
            if self.settings.install_missing != InstallMissing::All || !self.does(Kind::Install, &site.engine)
            {
                return None;
            }
            errand.packs = self.packs(missing)?;
        }
        if !missing.models.is_empty() && !self.does(Kind::Pull, &site.engine) {
            return None;
        }
        let needed = self.needed(endpoints);
        errand.models = missing.models.iter().map(|model| source(model, &needed)).collect::<Option<_>>()?;
        Some(errand)
    }
}

impl Supplies {
    /// The packs that have what is missing; nothing if one of the classes is in none that the lock pins.
    fn packs(&self, missing: &Missing) -> Option<Vec<LockedPack>> {
        let lock = self.locked();
        let mut packs: Vec<LockedPack> = Vec::new();
        for class in &missing.classes {
            let has = |pack: &&LockedPack| pack.pin().is_some() && pack.classes.contains(&class.class_type);
            let pack = lock.packs.iter().find(has)?;
            if !packs.iter().any(|other| other.id == pack.id) {
                packs.push(pack.clone());
            }
        }
        Some(packs)
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
