//! One workflow of the folder: its file as it is now, and the last version that made an endpoint.

use std::{
    fs::File,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
};

use comfyport_endpoint::{Endpoint, Held};
use comfyport_workflow::{
    Catalog, Diagnostic, Lock, Options, Severity, Sidecar,
    openapi::Ids,
    route::{self, Place},
};

use super::{
    Limits, make,
    walk::{Found, Listing, Stamp},
};

#[derive(Debug, Default)]
pub(super) struct Unit {
    /// What it was read from.
    read: State,
    good: Option<Good>,
    /// Whether the file makes an endpoint as it is now.
    pub(super) usable: bool,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Whether requests reached it so far.
    pub(super) served: bool,
}

/// The files of one workflow, itself first, with the state each is in. Only the first must be there.
pub(super) type State = [(String, Option<Stamp>); 3];

/// A version that made an endpoint.
#[derive(Debug)]
struct Good {
    inferred: comfyport_workflow::Endpoint,
    /// It, at the place it was given and under the operation id.
    made: Option<(Place, String, Held<Endpoint>)>,
}

/// The files of the workflow that has a route, as they are now.
pub(super) fn state(route: &str, file: &str, listing: &Listing) -> State {
    [file.to_owned(), format!("{route}.toml"), format!("{route}.lock")].map(|name| {
        let stamp = listing.stamp(&name).cloned();
        (name, stamp)
    })
}

impl Unit {
    /// The file of the workflow, by its path below the folder.
    pub(super) fn file(&self) -> &str {
        &self.read[0].0
    }

    pub(super) fn is_of(&self, state: &State) -> bool {
        self.read == *state
    }

    /// Reads the workflow, unless its files change meanwhile. If it makes no endpoint, the last version that did is
    /// kept. Returns whether it was read.
    pub(super) fn load(
        &mut self,
        route: &str,
        state: State,
        listing: &Listing,
        catalog: &Catalog,
        limits: &Limits,
    ) -> bool {
        let found = state.each_ref().map(|(name, _)| listing.files.get(name));
        let texts = Texts::read(found, limits);
        if found.iter().flatten().any(|found| found.has_changed()) {
            return false;
        }
        let inferred = texts.and_then(|texts| infer(route, &state[0].0, &texts, catalog));
        self.read = state;
        match inferred {
            Ok(inferred) => {
                self.usable = true;
                self.tell(&inferred.diagnostics, limits);
                self.good = Some(Good { inferred, made: None });
            }
            Err(diagnostics) => {
                self.usable = false;
                self.tell(&diagnostics, limits);
            }
        }
        true
    }

    /// Notes are for those who ask `comfyport check`.
    fn tell(&mut self, diagnostics: &[Diagnostic], limits: &Limits) {
        let worth = diagnostics.iter().filter(|found| found.severity >= Severity::Warning);
        self.diagnostics = worth.take(limits.diagnostics).cloned().collect();
    }

    /// Whether there is a version that made an endpoint.
    pub(super) fn has_endpoint(&self) -> bool {
        self.good.is_some()
    }

    /// The endpoint of the last good version at this place, with an operation id of its own.
    pub(super) fn endpoint(&mut self, place: &Place, ids: &mut Ids) -> Option<Held<Endpoint>> {
        let good = self.good.as_mut()?;
        good.inferred.path.clone_from(&place.path);
        good.inferred.version.clone_from(&place.version);
        let id = ids.next_of(&good.inferred);
        match &good.made {
            Some((at, known, made)) if at == place && *known == id => Some(made.clone()),
            _ => {
                let made = Held::from(make::endpoint(&good.inferred, &id));
                good.made = Some((place.clone(), id, made.clone()));
                Some(made)
            }
        }
    }
}

/// What the files of one workflow say.
struct Texts {
    workflow: Vec<u8>,
    sidecar: Option<String>,
    lock: Option<String>,
}

impl Texts {
    fn read([file, sidecar, lock]: [Option<&Found>; 3], limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self {
            workflow: file.map(|found| read(found, limits)).transpose()?.unwrap_or_default(),
            sidecar: sidecar.map(|found| text(found, limits)).transpose()?,
            lock: lock.map(|found| text(found, limits)).transpose()?,
        })
    }
}

fn infer(
    route: &str,
    file: &str,
    texts: &Texts,
    catalog: &Catalog,
) -> Result<comfyport_workflow::Endpoint, Vec<Diagnostic>> {
    // A fault of ours in one strange file must not end the watch over all others.
    let inferred = catch_unwind(AssertUnwindSafe(|| {
        let sidecar = texts.sidecar.as_deref().map(Sidecar::parse).transpose()?;
        let lock = texts.lock.as_deref().map(Lock::parse).transpose()?;
        let path = route::unnumbered(route);
        let options = Options { file, path, catalog, sidecar: sidecar.as_ref(), lock: lock.as_ref() };
        comfyport_workflow::endpoint(&texts.workflow, &options)
    }));
    let inferred = inferred
        .unwrap_or_else(|_| Err(vec![Diagnostic::error("internal", "this file made comfyport fail")]))?;
    if inferred.is_usable() { Ok(inferred) } else { Err(inferred.diagnostics) }
}

/// The bytes of a file, within the limit.
pub(super) fn read(found: &Found, limits: &Limits) -> Result<Vec<u8>, Vec<Diagnostic>> {
    let too_large = || {
        let message = format!("it is larger than {} bytes (`workflows.max_file_bytes`)", limits.file_bytes);
        vec![Diagnostic::error("too-large", message)]
    };
    if found.stamp.size > limits.file_bytes {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    let read = File::open(&found.path)
        .and_then(|file| file.take(limits.file_bytes.saturating_add(1)).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(vec![Diagnostic::error("unreadable", format!("it cannot be read: {error}"))]),
        Ok(size) if size as u64 > limits.file_bytes => Err(too_large()),
        Ok(_) => Ok(bytes),
    }
}

fn text(found: &Found, limits: &Limits) -> Result<String, Vec<Diagnostic>> {
    String::from_utf8(read(found, limits)?).map_err(|_| {
        let name = found.path.file_name().unwrap_or_default().to_string_lossy();
        vec![Diagnostic::error("not-text", format!("{} is not UTF-8", comfyport_workflow::printable(&name)))]
    })
}
