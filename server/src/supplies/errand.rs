//! Errands: what this server does itself, as jobs that no engine runs.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Needed;
use crate::artifacts::hex;

/// Errands of a kind are kept like jobs of a workflow of this name. No workflow has one: there is a colon in it.
const PULL: &str = "models:pull";
const INSTALL: &str = "nodes:install";

/// A kind of errand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Models are fetched into an engine's models folder.
    Pull,
    /// Node packs are installed into an engine.
    Install,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Pull, Self::Install];

    /// What stands for the path of a workflow.
    pub fn path(self) -> &'static str {
        match self {
            Self::Pull => PULL,
            Self::Install => INSTALL,
        }
    }

    /// The kind that is kept under a path, if it is not that of a workflow.
    pub fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.path() == path)
    }

    /// What stands for an engine while an errand of this kind is run: the engine's name and a mark that no name has.
    pub fn desk(self, engine: &str) -> String {
        format!("{engine}#{}", self.path())
    }

    /// What errands of this kind for an engine have in common, as the store keeps it: a short id, and the words.
    pub fn need(self, engine: &str) -> (String, String) {
        let need = json!({"workflow": self.path(), "engine": engine}).to_string();
        let mut id = hex(&Sha256::digest(need.as_bytes()));
        id.truncate(16);
        (id, need)
    }
}

/// The engine that a desk is of, and for what.
pub fn at_desk(name: &str) -> Option<(&str, Kind)> {
    let (engine, path) = name.split_once('#')?;
    Some((engine, Kind::of(path)?))
}

/// An errand, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Errand {
    /// The engine that it is for.
    pub engine: String,
    /// The models to fetch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) models: Vec<Needed>,
    /// Whether files that are something else are overwritten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// The node packs to install, as a lock has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<comfyport_needs::LockedPack>,
    /// The need of jobs that wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<String>,
}

impl Errand {
    /// Nothing yet, for an engine.
    pub fn of(engine: &str) -> Self {
        let engine = engine.to_owned();
        Self { engine, models: Vec::new(), overwrite: false, packs: Vec::new(), waited_for: None }
    }

    /// What kind it is: packs come with a start of ComfyUI.
    pub fn kind(&self) -> Kind {
        if self.packs.is_empty() { Kind::Pull } else { Kind::Install }
    }

    /// What it is about, for callers: no addresses, which may hold secrets.
    pub fn params(&self) -> Value {
        let models: Vec<String> = self.models.iter().map(Needed::name).collect();
        let packs: Vec<&str> = self.packs.iter().map(|pack| pack.id.as_str()).collect();
        let mut params = json!({"engine": self.engine});
        if !models.is_empty() {
            params["models"] = json!(models);
        }
        if !packs.is_empty() {
            params["packs"] = json!(packs);
        }
        params
    }

    /// The names of what is installed and fetched, in this order.
    pub fn names(&self) -> Vec<String> {
        let packs = self.packs.iter().map(|pack| pack.id.clone());
        packs.chain(self.models.iter().map(Needed::name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn desks_are_told_from_engines() {
        for kind in Kind::ALL {
            assert_eq!(at_desk(&kind.desk("a:8188")), Some(("a:8188", kind)));
            assert_eq!(Kind::of(kind.path()), Some(kind));
            assert_ne!(kind.need("a").0, kind.need("b").0);
        }
        assert_eq!(at_desk("comfyui"), None);
        assert_eq!(at_desk("a#other"), None);
        assert_ne!(Kind::Pull.need("a").0, Kind::Install.need("a").0);
    }
}
