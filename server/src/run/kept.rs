//! A request as it is kept: as it came, but for its files, which are referred to by their names.
//!
//! Not what was made of it: that would be read differently the second time, where some values follow from others.

use comfyport_endpoint::{Part, PartValue};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Attached, Body};

/// What is to be run, once more.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptRequest {
    /// A JSON body.
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Box<RawValue>>,
    /// The parts of a form.
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<Vec<(String, String)>>,
    /// A graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<Box<RawValue>>,
    /// Files for inputs of the graph.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<Attached>,
    /// The seeds that were drawn, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) seeds: Vec<u64>,
    /// The names of its files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

impl KeptRequest {
    /// A graph that a caller sent, with the files that came along. `None` if it is not JSON.
    pub fn of_graph(graph: &str, attached: Vec<Attached>) -> Option<Self> {
        let graph = RawValue::from_string(graph.to_owned()).ok()?;
        let files = attached.iter().map(|one| one.file.to_string()).collect();
        Some(Self { graph: Some(graph), attached, files, ..Self::default() })
    }

    /// The JSON body of a request to an endpoint, its files by our names for them.
    pub fn json(&self) -> Option<&RawValue> {
        self.json.as_deref()
    }

    /// A body that was found to be in order.
    pub(super) fn of(body: &Body) -> Self {
        match body {
            Body::Json(bytes) => {
                let text = std::str::from_utf8(bytes).unwrap_or_default();
                let text = if text.trim().is_empty() { "{}" } else { text };
                Self { json: RawValue::from_string(text.to_owned()).ok(), ..Self::default() }
            }
            Body::Form(parts) => {
                let text = |part: &Part| match &part.value {
                    PartValue::Text(text) => Some((part.name.clone(), text.clone())),
                    PartValue::File { .. } => None,
                };
                Self { form: Some(parts.iter().filter_map(text).collect()), ..Self::default() }
            }
        }
    }

    /// Refers to files of parameters by our names for them, in place of whatever the request says of them.
    pub(super) fn refer(&mut self, references: &[(String, std::sync::Arc<str>)]) {
        if references.is_empty() {
            return;
        }
        self.files = references.iter().map(|(_, file)| file.to_string()).collect();
        if let Some(form) = &mut self.form {
            // A file is what came of what was wished for: that is not to be done to it again.
            let is_settled = |name: &str| {
                let name = name.strip_suffix(".options").unwrap_or(name);
                references.iter().any(|(param, _)| param == name)
            };
            form.retain(|(name, _)| !is_settled(name));
            form.extend(references.iter().map(|(param, file)| (param.clone(), format!("upload:{file}"))));
        }
        let Some(json) = &self.json else { return };
        let Ok(mut members) = serde_json::from_str::<IndexMap<String, Box<RawValue>>>(json.get()) else {
            return;
        };
        for (param, file) in references {
            let reference = serde_json::value::to_raw_value(&serde_json::json!({"upload": &**file}));
            if let (Some(member), Ok(reference)) = (members.get_mut(param), reference) {
                *member = reference;
            }
        }
        self.json = serde_json::value::to_raw_value(&members).ok().or_else(|| self.json.take());
    }

    /// The names of the files it refers to.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The body once more, files by their names. `None` if it is a graph.
    pub(super) fn body(&self) -> Option<Body> {
        if let Some(form) = &self.form {
            let part = |(name, text): &(String, String)| Part {
                name: name.clone(),
                value: PartValue::Text(text.clone()),
            };
            return Some(Body::Form(form.iter().map(part).collect()));
        }
        Some(Body::Json(self.json.as_ref()?.get().to_owned().into()))
    }

    /// What was written.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// To be written.
    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
