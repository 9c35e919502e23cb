//! Workflows that are served without having been compiled: those of a folder, read again when they change.
//!
//! The folder is looked at now and then instead of being watched by the system: that works the same on every file
//! system, network mounts and container volumes included. A change counts once a file is the same in two looks, so
//! that nobody reads half of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    time::Duration,
};

use comfyport_endpoint::Endpoint;
use comfyport_workflow::{
    Catalog, Diagnostic,
    openapi::Ids,
    printable,
    route::{self, OBJECT_INFO, Place},
};
use tokio_util::sync::CancellationToken;

use crate::{
    endpoints::{Entry, File},
    versions::Versions,
};

mod fields;
mod make;
mod unit;
mod walk;

pub use make::endpoint;
use unit::Unit;
use walk::{Found, Listing, Stamp};

/// How much is read from a folder.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many files and folders are looked at.
    pub files: usize,
    /// The size of each file, in bytes.
    pub file_bytes: u64,
    /// How many diagnostics are kept of each workflow.
    pub diagnostics: usize,
}

/// A folder of workflows, and what was made of them.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    limits: Limits,
    /// Routes of endpoints that are compiled in.
    compiled: Vec<String>,
    catalog: Catalog,
    /// What the catalog was read from, and what is wrong with that file.
    object_info: (Option<Stamp>, Vec<Diagnostic>),
    units: BTreeMap<String, Unit>,
    /// What the look before this one found.
    before: Option<Listing>,
    unreachable: bool,
}

impl Folder {
    /// A folder that nobody has looked into yet. Paths of the endpoints compiled in are taken.
    pub fn open(root: PathBuf, limits: Limits, compiled: &[&Endpoint]) -> io::Result<Self> {
        std::fs::read_dir(&root)?;
        Ok(Self {
            root,
            limits,
            compiled: routes_of(compiled),
            catalog: Catalog::core().clone(),
            object_info: (None, Vec::new()),
            units: BTreeMap::new(),
            before: None,
            unreachable: false,
        })
    }

    /// Looks for changes; all workflows of the folder if there were any. The first look takes files as they are.
    pub fn look(&mut self) -> Option<Vec<Entry>> {
        let in_use = self.units.values().map(Unit::file);
        let listing = match walk::walk(&self.root, self.limits.files, in_use) {
            Ok(listing) => listing,
            Err(error) => {
                if !std::mem::replace(&mut self.unreachable, true) {
                    let folder = self.root.display();
                    tracing::warn!(%folder, %error, "the workflows folder cannot be read; what was read before is served");
                }
                return None;
            }
        };
        self.unreachable = false;
        let mut changed = self.before.as_ref().is_none_or(|before| before.left_out != listing.left_out);
        let new_catalog = self.read_catalog(&listing);
        changed |= new_catalog;
        changed |= self.forget(&listing);
        changed |= self.load(&listing, new_catalog);
        self.before = Some(listing);
        changed.then(|| self.entries())
    }

    /// Whether a file is the same as in the look before.
    fn is_settled(&self, listing: &Listing, name: &str) -> bool {
        let before = self.before.as_ref().map(|before| before.stamp(name));
        before.is_none_or(|before| before == listing.stamp(name))
    }

    /// Reads the node definitions if they changed. If they cannot be read, those of before are kept.
    fn read_catalog(&mut self, listing: &Listing) -> bool {
        let found = listing.files.get(OBJECT_INFO);
        let stamp = listing.stamp(OBJECT_INFO).cloned();
        if stamp == self.object_info.0
            || listing.is_hidden(OBJECT_INFO)
            || !self.is_settled(listing, OBJECT_INFO)
        {
            return false;
        }
        let mut catalog = Catalog::core().clone();
        let read = found.map_or(Ok(Vec::new()), |found| {
            let bytes = unit::read(found, &self.limits)?;
            let (own, odd) = Catalog::from_object_info(&bytes)
                .map_err(|error| vec![Diagnostic::error("object-info", printable(&error.to_string()))])?;
            catalog.extend(own);
            Ok(odd)
        });
        if found.is_some_and(Found::has_changed) {
            return false;
        }
        let mut diagnostics = read.unwrap_or_else(|diagnostics| diagnostics);
        diagnostics.truncate(self.limits.diagnostics);
        if !diagnostics.iter().any(Diagnostic::is_error) {
            self.catalog = catalog;
        }
        tell(OBJECT_INFO, &diagnostics);
        self.object_info = (stamp, diagnostics);
        true
    }

    /// Drops workflows whose file is gone.
    fn forget(&mut self, listing: &Listing) -> bool {
        let is_gone = |route: &str, file: &str| {
            !listing.routes.contains_key(route) && !listing.is_hidden(file) && self.is_settled(listing, file)
        };
        let gone: Vec<String> = self
            .units
            .iter()
            .filter(|(route, unit)| is_gone(route, unit.file()))
            .map(|(route, _)| route.clone())
            .collect();
        for route in &gone {
            self.units.remove(route);
            tracing::info!(workflow = printable(route), "removed from the workflows folder");
        }
        !gone.is_empty()
    }

    /// Reads workflows that are new or changed, or all of them if what is known of nodes changed.
    fn load(&mut self, listing: &Listing, new_catalog: bool) -> bool {
        let mut changed = false;
        for (route, file) in &listing.routes {
            let state = unit::state(route, file, listing);
            let known = self.units.get(route);
            let is_known = known.is_some_and(|unit| unit.is_of(&state));
            let is_settled = state.iter().all(|(name, _)| self.is_settled(listing, name));
            // Those that are known stay while the folder holds more than may be looked at.
            let is_too_much = known.is_none() && self.units.len() >= self.limits.files;
            let is_whole = state.iter().all(|(name, stamp)| stamp.is_some() || !listing.is_hidden(name));
            if !is_settled || !is_whole || is_too_much || is_known && !new_catalog {
                continue;
            }
            let is_new = known.is_none();
            let mut unit = self.units.remove(route).unwrap_or_default();
            let was_read = unit.load(route, state, listing, &self.catalog, &self.limits);
            if was_read {
                tell(route, &unit.diagnostics);
                changed = true;
            }
            if was_read || !is_new {
                self.units.insert(route.clone(), unit);
            }
        }
        changed
    }

    /// Everything in the folder as it is served and shown.
    fn entries(&mut self) -> Vec<Entry> {
        let refused = self.refused();
        let mut ids = Ids::default();
        for path in &self.compiled {
            ids.next(path);
        }
        let is_fit = |stem: &str, unit: &Unit| !refused.contains_key(stem) && unit.has_endpoint();
        let fit: BTreeSet<String> = self
            .units
            .iter()
            .filter(|(stem, unit)| is_fit(stem, unit))
            .map(|(stem, _)| stem.clone())
            .collect();
        let places = self.places(&fit);
        let mut entries = Vec::new();
        for (route, unit) in &mut self.units {
            let refusal = refused.get(route);
            let place = places.get(route).filter(|_| fit.contains(route));
            let endpoint = place.and_then(|place| unit.endpoint(place, &mut ids));
            unit.served = endpoint.is_some();
            let diagnostics = refusal.into_iter().chain(&unit.diagnostics).cloned().collect();
            let usable = unit.usable && refusal.is_none();
            let file = File { name: unit.file().to_owned(), usable, diagnostics };
            let path = places.get(route).map_or(route, |place| &place.path);
            entries.push(Entry { path: make::text(path), endpoint, file: Some(file) });
        }
        entries.extend(self.oddities());
        entries
    }

    /// Where workflows belong by the names of all files, and which versions there are of those that are `fit`.
    fn places(&self, fit: &BTreeSet<String>) -> BTreeMap<String, Place> {
        let places = route::places(self.units.keys().map(String::as_str));
        let served: BTreeSet<String> = places
            .iter()
            .filter(|(stem, _)| fit.contains(**stem))
            .map(|(_, place)| place.path.clone())
            .collect();
        let known = |(stem, mut place): (&str, Place)| {
            if let Some(version) = &mut place.version {
                version.all.retain(|number| served.contains(&route::path(*number, &version.route)));
            }
            (stem.to_owned(), place)
        };
        places.into_iter().map(known).collect()
    }

    /// Workflows that cannot have the route of their path. What is compiled goes first, then what is served already:
    /// a new file takes no route away.
    fn refused(&self) -> BTreeMap<String, Diagnostic> {
        let taken: BTreeSet<Vec<String>> = self.compiled.iter().map(|path| route::names(path)).collect();
        let places = route::places(self.units.keys().map(String::as_str));
        let taken_of = |stem: &str| {
            let mut routes = places.get(stem).into_iter().flat_map(Place::routes);
            routes.find(|route| taken.contains(&route::names(route)))
        };
        let compiled =
            self.units.keys().filter_map(|stem| Some((stem, taken_of(stem)?))).map(|(stem, route)| {
                let message = format!("`/{}` is compiled in, and what is compiled in wins", printable(route));
                (
                    stem.clone(),
                    Diagnostic::error("compiled-route", message).help("give the file another name"),
                )
            });
        let mut rest: Vec<(&String, &Unit)> =
            self.units.iter().filter(|(stem, _)| taken_of(stem).is_none()).collect();
        rest.sort_by_key(|(_, unit)| !unit.served);
        let clashes = route::check(rest.into_iter().map(|(route, _)| route.as_str()));
        let named = |(file, found): (String, Diagnostic)| {
            (file.strip_suffix(".json").map(str::to_owned).unwrap_or(file), found)
        };
        compiled.chain(clashes.into_iter().map(named)).collect()
    }

    /// What is no workflow and wants to be known.
    fn oddities(&self) -> Vec<Entry> {
        let Some(listing) = &self.before else { return Vec::new() };
        let odd = |name: &str, diagnostics: Vec<Diagnostic>| Entry {
            path: make::text(name),
            endpoint: None,
            file: Some(File { name: name.to_owned(), usable: false, diagnostics }),
        };
        let mut entries: Vec<Entry> =
            listing.left_out.iter().map(|(name, found)| odd(name, vec![found.clone()])).collect();
        if !self.object_info.1.is_empty() {
            entries.push(odd(OBJECT_INFO, self.object_info.1.clone()));
        }
        entries
    }
}

/// Every route that leads to these endpoints.
fn routes_of(compiled: &[&Endpoint]) -> Vec<String> {
    let versions = Versions::of(compiled.iter().copied());
    compiled.iter().flat_map(|endpoint| versions.paths(endpoint)).collect()
}

/// Says in the log what is wrong or odd.
fn tell(route: &str, diagnostics: &[Diagnostic]) {
    let workflow = printable(route);
    if let Some(error) = diagnostics.iter().find(|found| found.is_error()) {
        tracing::warn!(workflow, error = printable(&error.message), "cannot be served as it is");
    } else {
        tracing::info!(workflow, warnings = diagnostics.len(), "read from the workflows folder");
    }
}

/// Looks for changes until the server stops, and serves what is found.
pub async fn keep_looking(
    mut folder: Folder,
    every: Duration,
    stop: CancellationToken,
    serve: impl Fn(&[Entry]),
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            let entries = folder.look();
            (folder, entries)
        });
        let (same, entries) = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "the workflows folder is not looked at any more; what was read is served");
                return;
            }
        };
        folder = same;
        if let Some(entries) = entries {
            serve(&entries);
        }
    }
}
