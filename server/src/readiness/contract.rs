//! What endpoints give their nodes, held against what an engine's nodes want.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use comfyport_endpoint::Endpoint;

use super::{MissingInput, canonical};
use crate::engine::Capabilities;

/// What one endpoint gives its nodes.
#[derive(Debug, PartialEq, Eq)]
struct Contract {
    nodes: Vec<Given>,
    folders: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Given {
    id: String,
    title: String,
    class_type: String,
    inputs: BTreeSet<String>,
}

/// What all endpoints give their nodes, by path.
#[derive(Debug, Default)]
pub struct Contracts(RwLock<BTreeMap<String, Arc<Contract>>>);

impl Contracts {
    /// Knows these endpoints and no others from now on.
    pub fn learn<'e>(&self, endpoints: impl IntoIterator<Item = &'e Endpoint>) {
        let contract = |endpoint: &Endpoint| (endpoint.path.to_string(), Arc::new(Contract::of(endpoint)));
        let all = endpoints.into_iter().map(contract).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// The models folders that any of them needs.
    pub(super) fn folders(&self) -> BTreeSet<String> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.values().flat_map(|contract| contract.folders.iter().cloned()).collect()
    }

    /// The inputs that an engine's nodes require and a workflow does not give. Only nodes of these classes count.
    pub(super) fn missing(
        &self,
        workflow: &str,
        classes: &BTreeSet<String>,
        engine: &Capabilities,
    ) -> Vec<MissingInput> {
        let contract = {
            let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
            all.get(workflow).map(Arc::clone)
        };
        let nodes = contract.iter().flat_map(|contract| &contract.nodes);
        nodes
            .filter(|node| classes.contains(&node.class_type))
            .flat_map(|node| node.missing(engine))
            .collect()
    }
}

impl Contract {
    fn of(endpoint: &Endpoint) -> Self {
        let mut given = endpoint.given_inputs();
        let node = |node: &comfyport_endpoint::NodeLabel| {
            // A node that is not in the prompt as it stands is made for the request.
            let inputs = given.remove(&*node.id)?;
            Some(Given {
                id: node.id.to_string(),
                title: node.title.to_string(),
                class_type: node.class_type.to_string(),
                inputs,
            })
        };
        let nodes = endpoint.nodes.iter().filter_map(node).collect();
        let folders = endpoint.models.iter().map(|model| canonical(&model.folder).to_owned());
        Self { nodes, folders: folders.filter(|folder| folder != "unknown").collect() }
    }
}

impl Given {
    fn missing<'g>(&'g self, engine: &'g Capabilities) -> impl Iterator<Item = MissingInput> + 'g {
        let required = engine.required.get(&self.class_type).into_iter().flatten();
        let is_given = |input: &&String| {
            // Inputs that grow are given by their parts: `images.image0`.
            self.inputs.contains(*input)
                || self
                    .inputs
                    .iter()
                    .any(|given| given.strip_prefix(input.as_str()).is_some_and(|rest| rest.starts_with('.')))
        };
        let missing = required.map(|(input, _)| input).filter(move |input| !is_given(input));
        missing.map(|input| MissingInput {
            node: self.id.clone(),
            title: self.title.clone(),
            class_type: self.class_type.clone(),
            input: input.clone(),
        })
    }
}
