//! What is different between a request to an endpoint and a graph that a caller sent.

use serde_json::value::RawValue;

use super::{Plan, collect::Expected, failure::Names, request::File, stage::Staged};

impl Plan {
    /// The endpoint's path.
    pub(super) fn workflow(&self) -> &str {
        match self {
            Self::Endpoint(prepared) => &prepared.endpoint.path,
            Self::Graph(_) => "prompt",
        }
    }

    /// The checkpoint or diffusion model that it loads.
    pub(super) fn checkpoint(&self) -> Option<String> {
        match self {
            Self::Endpoint(prepared) => prepared.requirement().checkpoint().map(str::to_owned),
            Self::Graph(_) => None,
        }
    }

    pub(super) fn names(&self) -> Names {
        match self {
            Self::Endpoint(prepared) => Names::Endpoint(prepared.endpoint.clone()),
            Self::Graph(plan) => Names::Graph(std::sync::Arc::clone(&plan.nodes)),
        }
    }

    /// The files of the request.
    pub(super) fn files(&self) -> &[File] {
        match self {
            Self::Endpoint(prepared) => &prepared.files,
            Self::Graph(plan) => &plan.files,
        }
    }

    /// Writes into the request what an engine calls its files.
    pub(super) fn settle(&mut self, staged: &Staged) {
        match self {
            Self::Endpoint(prepared) => {
                let mut media = prepared.decoded.media_mut();
                for (position, value) in &staged.values {
                    if let Some((_, media)) = media.get_mut(*position) {
                        media.engine_value = Some(value.to_string());
                    }
                }
            }
            Self::Graph(plan) => {
                for (position, value) in &staged.values {
                    plan.settle(*position, value);
                }
            }
        }
    }

    /// Writes into the request our own names for its files, where no engine has any.
    pub(crate) fn name_files(&mut self) {
        let values = self.files().iter().map(|file| (file.position, std::sync::Arc::clone(&file.name)));
        let staged = Staged { values: values.collect(), believed: false };
        self.settle(&staged);
    }

    /// The prompt as JSON, its output nodes writing below `prefix`.
    pub(crate) fn prompt(&self, prefix: &str) -> Vec<u8> {
        match self {
            Self::Endpoint(prepared) => {
                let mut out = Vec::with_capacity(4096);
                prepared.decoded.write_prompt(prefix, &mut out);
                out
            }
            Self::Graph(plan) => plan.prompt(prefix),
        }
    }

    pub(super) fn expected(&self) -> Vec<Expected> {
        match self {
            Self::Endpoint(prepared) => {
                let outputs = &prepared.endpoint.outputs;
                // Where something is kept, previews are a by-product; where nothing is, they are the result.
                let only_previews = outputs.iter().all(|output| output.preview);
                let expected = |output: &comfyport_endpoint::Output| Expected {
                    name: output.name.to_string(),
                    node: output.node.to_string(),
                    required: only_previews || !output.preview,
                };
                outputs.iter().map(expected).collect()
            }
            Self::Graph(plan) => plan.expected(),
        }
    }

    /// The values of the run as JSON.
    pub fn params(&self) -> Box<RawValue> {
        let mut out = Vec::new();
        if let Self::Endpoint(prepared) = self {
            prepared.decoded.write_params(&mut out);
        }
        let written = String::from_utf8(out).ok().and_then(|text| RawValue::from_string(text).ok());
        written.unwrap_or_else(|| RawValue::from_string("{}".to_owned()).unwrap_or_default())
    }
}
