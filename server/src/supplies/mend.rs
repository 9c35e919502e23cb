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

/// The folder of files that callers told by their addresses.
const BY_ADDRESS: &str = "from-url";

impl Supplies {
    /// What would have to be fetched for an engine; nothing if it would not be enough. Only what the project itself named
    /// is fetched, from where it says.
    pub(crate) fn mend(&self, site: &Site, missing: &Missing, endpoints: &Snapshot) -> Option<Errand> {
        let Missing { classes, models, chosen, inputs } = missing;
        let refused = self.settings.install_missing == InstallMissing::Never;
        if missing.is_empty() || !inputs.is_empty() || (refused && !(classes.is_empty() && models.is_empty()))
        {
            return None;
        }
        let mut errand = Errand::of(&site.engine);
        if !classes.is_empty() {
            if self.settings.install_missing != InstallMissing::All
                || !self.are_done(Kind::Install, &site.engine)
            {
                return None;
            }
            errand.packs = self.packs(missing)?;
        }
        let any = !models.is_empty() || !chosen.is_empty();
        if any && !self.are_done(Kind::Pull, &site.engine) {
            return None;
        }
        let needed = self.needed(endpoints);
        let named = models.iter().map(|model| source(model, &needed));
        let told = chosen.iter().map(by_address);
        errand.models = named.chain(told).collect::<Option<_>>()?;
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

/// Where a model can be had that its caller told by its address, if its workflow has it fetched.
fn by_address(model: &MissingModel) -> Option<Needed> {
    let url = model.url.clone().filter(|_| model.from_url)?;
    // It is looked for by its name alone, in whatever folder it is.
    let file = model.file.rsplit('/').next().unwrap_or(&model.file);
    let found = Needed {
        folder: model.folder.clone(),
        file: format!("{BY_ADDRESS}/{file}"),
        urls: vec![url],
        ..Needed::default()
    };
    found.wanted().is_ok().then_some(found)
}

/// Where a model can be had, if that is known.
fn source(model: &MissingModel, needed: &[Needed]) -> Option<Needed> {
    let is_it = |one: &&Needed| canonical(&one.folder) == model.folder && plain(&one.file) == model.file;
    let found = needed.iter().find(is_it).filter(|found| !found.urls.is_empty() || found.sha256.is_some())?;
    // By its newer name, which engines of any age read.
    let found = Needed { folder: model.folder.clone(), file: model.file.clone(), ..found.clone() };
    found.wanted().is_ok().then_some(found)
}
