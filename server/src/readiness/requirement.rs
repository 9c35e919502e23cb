//! What is needed of an engine: by a request, by a workflow, by a graph.

use std::collections::BTreeSet;

use comfyport_endpoint::{ChosenModel, Decoded, Endpoint, Kind, NodeLabel, State};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{canonical, plain};
use crate::{artifacts::hex, pool::Affinity};

/// What is needed of an engine. It owns what it says and can be stored beside a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The endpoint's path; `prompt` for a graph that a caller sent.
    pub workflow: String,
    /// The node classes.
    pub classes: BTreeSet<String>,
    /// The model files, in order and each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<RequiredModel>,
    /// Where node classes come from, as far as that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<RequiredPack>,
}

/// A model file that is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequiredModel {
    /// The folder below `models`, by its new name.
    pub folder: String,
    /// The file, with `/` between folders.
    pub file: String,
    /// The node that loads it.
    pub node: String,
    /// The input that names it.
    pub input: String,
    /// Where it can be fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Who wants this file.
    #[serde(default, skip_serializing_if = "Choice::is_workflow")]
    pub choice: Choice,
    /// Whether it is fetched from where its caller says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_url: bool,
}

/// Who chose a model file, and how it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The workflow, by its name.
    #[default]
    Workflow,
    /// The caller, by its name.
    Caller,
    /// The caller, by its address: any folder may hold the file.
    Address,
}

impl Choice {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
    fn is_workflow(&self) -> bool {
        *self == Self::Workflow
    }
}

/// A node pack that has some of the classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequiredPack {
    /// Its id.
    pub id: String,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Those of its classes that are needed.
    pub classes: BTreeSet<String>,
}

impl Requirement {
    /// What a request needs that leaves out whatever it can.
    pub fn usual(endpoint: &Endpoint) -> Self {
        Self::of_endpoint(endpoint, Some(endpoint.usual_state()), &[])
    }

    /// What a request needs that gives whatever it can.
    pub fn utmost(endpoint: &Endpoint) -> Self {
        Self::of_endpoint(endpoint, None, &[])
    }

    /// What this request needs, the files that its caller chose included.
    pub fn of(endpoint: &Endpoint, decoded: &Decoded) -> Self {
        let mut need = Self::of_endpoint(endpoint, Some(decoded.state()), &decoded.decided_models());
        let models = decoded.models().into_iter().filter_map(|ChosenModel { field, name, url, .. }| {
            let Kind::Model { folder, from_url } = &field.kind else { return None };
            chosen(folder, &name, &field.at, (url, *from_url))
        });
        let loras = decoded.loras();
        let loras = loras.iter().flat_map(|(_, field, loras)| {
            let Kind::Loras { folder, from_url, .. } = &field.kind else { return vec![] };
            let one = |lora: &comfyport_endpoint::Lora| {
                chosen(folder, lora.name.as_deref()?, &field.at, (lora.url.clone(), *from_url))
            };
            loras.iter().filter_map(one).collect()
        });
        need.models.extend(models.chain(loras));
        need.in_order()
    }

    /// What a graph needs that has these classes.
    pub fn of_classes(workflow: &str, classes: BTreeSet<String>) -> Self {
        Self { workflow: workflow.to_owned(), classes, models: Vec::new(), packs: Vec::new() }
    }

    /// The checkpoint or diffusion model: what takes longest to load.
    pub fn checkpoint(&self) -> Option<&str> {
        let is_large = |model: &&RequiredModel| matches!(&*model.folder, "checkpoints" | "diffusion_models");
        self.models.iter().find(is_large).map(|model| model.file.as_str())
    }

    /// What an engine should have run last to be quick with this.
    pub fn affinity(&self) -> Affinity {
        Affinity { workflow: self.workflow.clone(), checkpoint: self.checkpoint().map(str::to_owned) }
    }

    /// The same for the same needs, and hardly ever the same for others: sixteen hexadecimal digits.
    pub fn id(&self) -> String {
        // Maps of text keys cannot fail to be written.
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        let mut id = hex(&Sha256::digest(canonical));
        id.truncate(16);
        id
    }

    /// Nodes that are switched off need nothing; without a state, none is. Inputs (`"4.ckpt_name"`) whose model the
    /// caller decided about do not need the workflow's own.
    fn of_endpoint(endpoint: &Endpoint, state: Option<State>, decided: &[&str]) -> Self {
        let takes_part = |node: &&NodeLabel| state.is_none_or(|state| node.takes_part(state));
        let nodes: BTreeSet<&str> = endpoint.nodes.iter().filter(takes_part).map(|node| &*node.id).collect();
        let classes: BTreeSet<String> =
            endpoint.nodes.iter().filter(takes_part).map(|node| node.class_type.to_string()).collect();
        let is_needed = |model: &&comfyport_endpoint::Model| {
            let input = format!("{}.{}", model.node, model.input);
            *model.folder != *"unknown" && nodes.contains(&*model.node) && !decided.contains(&input.as_str())
        };
        let model = |model: &comfyport_endpoint::Model| RequiredModel {
            folder: canonical(&model.folder).to_owned(),
            file: plain(&model.file),
            node: model.node.to_string(),
            input: model.input.to_string(),
            url: model.url.as_ref().map(ToString::to_string),
            choice: Choice::Workflow,
            from_url: false,
        };
        let pack = |pack: &comfyport_endpoint::NodePack| {
            let of_pack = pack.classes.iter().map(ToString::to_string);
            let classes: BTreeSet<String> = of_pack.filter(|class| classes.contains(class)).collect();
            let repository = pack.repository.as_ref().map(ToString::to_string);
            (!classes.is_empty()).then(|| RequiredPack { id: pack.id.to_string(), repository, classes })
        };
        let models = endpoint.models.iter().filter(is_needed).map(model).collect();
        let packs = endpoint.node_packs.iter().filter_map(pack).collect();
        Self { workflow: endpoint.path.to_string(), classes, models, packs }.in_order()
    }

    fn in_order(mut self) -> Self {
        self.models.sort();
        self.models.dedup();
        self
    }
}

/// What a caller chose, by its name or by an address, from where it may be fetched or not.
fn chosen(
    folder: &str,
    file: &str,
    at: &[comfyport_endpoint::Text],
    (url, from_url): (Option<String>, bool),
) -> Option<RequiredModel> {
    let (node, input) = at.first().and_then(|at| at.split_once('.')).unwrap_or_default();
    (folder != "unknown").then(|| RequiredModel {
        folder: canonical(folder).to_owned(),
        file: plain(file),
        node: node.to_owned(),
        input: input.to_owned(),
        choice: if url.is_some() { Choice::Address } else { Choice::Caller },
        from_url: from_url && url.is_some(),
        url,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_follows_the_needs_and_survives_being_stored() {
        let need = Requirement::of_classes("prompt", ["B", "A"].map(str::to_owned).into());
        assert_eq!(need.id(), Requirement::of_classes("prompt", ["A", "B"].map(str::to_owned).into()).id());
        assert_eq!(need.id().len(), 16);
        let told = (Some("https://host/x.safetensors".to_owned()), true);
        let model = chosen("clip", r"sub\x.safetensors", &["3.clip_name".into()], told).unwrap();
        assert_eq!((model.choice, model.from_url), (Choice::Address, true));
        assert_eq!((&*model.folder, &*model.file), ("text_encoders", "sub/x.safetensors"));
        assert_eq!((&*model.node, &*model.input), ("3", "clip_name"));
        let other = Requirement { models: vec![model], ..need.clone() };
        assert_ne!(other.id(), need.id());
        let stored: Requirement = serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap();
        assert_eq!((stored.id(), &stored), (other.id(), &other));
        let named = chosen("vae", "x", &[], (None, true)).unwrap();
        assert_eq!((named.choice, named.from_url), (Choice::Caller, false));
        assert!(chosen("unknown", "x", &[], (None, false)).is_none());
    }
}
