//! Which models workflows need, as the workflows and a lock say.

use std::collections::{BTreeMap, BTreeSet};

use comfyport_depot::{ModelName, Sha256, Source, Trust, Wanted};
use comfyport_endpoint::Endpoint;
use comfyport_needs::ProjectLock;
use serde::{Deserialize, Serialize};

/// What a folder is called that was not found out.
const UNKNOWN: &str = "unknown";

/// A model that workflows need.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Needed {
    pub(crate) folder: String,
    pub(crate) file: String,
    /// As they are written: not to be shown, since they may hold secrets.
    pub(crate) urls: Vec<String>,
    pub(crate) size: Option<u64>,
    pub(crate) sha256: Option<String>,
    pub(crate) workflows: BTreeSet<String>,
    /// A node fetches it by itself.
    pub(crate) by_node: bool,
}

impl Needed {
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.folder, self.file)
    }

    /// Its name as far as it matters for not removing it: the folder may be unknown.
    pub(crate) fn any_name(&self) -> Option<ModelName> {
        ModelName::new(&self.folder, &self.file).ok()
    }

    /// What is asked for, or what is wrong with it.
    pub(crate) fn wanted(&self) -> Result<Wanted, String> {
        let name = self.name();
        if self.folder == UNKNOWN {
            return Err(format!(
                "{name}: its folder is not known\n  help: name it in the sidecar of {}",
                self.workflows.iter().cloned().collect::<Vec<_>>().join(", ")
            ));
        }
        let read = |url: &String| url.parse::<Source>().map_err(|error| format!("{name}: {error}"));
        let sha256 = self.sha256.as_deref().map(str::parse::<Sha256>).transpose();
        Ok(Wanted {
            name: ModelName::new(&self.folder, &self.file).map_err(|error| error.to_string())?,
            sources: self.urls.iter().map(read).collect::<Result<_, _>>()?,
            size: self.size,
            sha256: sha256.map_err(|error| format!("{name}: {error}"))?,
            // Workflows come from anywhere: what they name is judged like what callers name.
            trust: Trust::Anybody,
        })
    }

    /// Where it can be had, for people.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.urls.iter().filter_map(|url| Some(url.parse::<Source>().ok()?.to_string())).collect()
    }

    fn add_url(&mut self, url: &str) {
        if !self.urls.iter().any(|known| known == url) {
            self.urls.push(url.to_owned());
        }
    }
}

/// What workflows need, in the order of folders and files. What a lock says is binding, and comes first.
pub(crate) fn gather(
    endpoints: &[&Endpoint],
    lock: &ProjectLock,
    workflows: &[String],
) -> Result<Vec<Needed>, String> {
    let chosen = |path: &str| workflows.is_empty() || workflows.iter().any(|one| one == path);
    let mut found: BTreeMap<(String, String), Needed> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for model in &lock.models {
        known.extend(model.workflows.iter().cloned());
        let users: BTreeSet<String> = model.workflows.iter().filter(|path| chosen(path)).cloned().collect();
        if users.is_empty() {
            continue;
        }
        let needed = entry(&mut found, &model.folder, &model.file);
        for url in &model.urls {
            needed.add_url(url);
        }
        (needed.size, needed.sha256) = (model.size, model.sha256.clone());
        needed.by_node = model.fetched_by_node;
        needed.workflows.extend(users);
    }
    for endpoint in endpoints {
        let path: &str = &endpoint.path;
        known.insert(path.to_owned());
        if !chosen(path) {
            continue;
        }
        for model in &*endpoint.models {
            let needed = entry(&mut found, &model.folder, &model.file);
            if let Some(url) = &model.url {
                needed.add_url(url);
            }
            if needed.sha256.is_none() {
                needed.sha256 = model.sha256.as_ref().map(ToString::to_string);
            }
            needed.workflows.insert(path.to_owned());
        }
    }
    if let Some(missing) = workflows.iter().find(|path| !known.contains(*path)) {
        return Err(format!(
            "there is no workflow `{missing}`; `comfyport models report` names those there are"
        ));
    }
    Ok(found.into_values().collect())
}

fn entry<'f>(found: &'f mut BTreeMap<(String, String), Needed>, folder: &str, file: &str) -> &'f mut Needed {
    let key = (folder.to_owned(), file.to_owned());
    found.entry(key).or_insert_with(|| Needed {
        folder: folder.to_owned(),
        file: file.to_owned(),
        ..Needed::default()
    })
}
