//! What is told of an endpoint.

use comfyport_workflow::{Endpoint, Param, Tier, json::Value as Json};
use serde::Serialize;
use serde_json::{Value, json};

/// Longest title of a node that is told, in characters.
const LONGEST: usize = 120;

/// An endpoint in words that give nothing away: no text that is a value, no file, no address.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    path: String,
    title: String,
    description: Option<String>,
    parameters: Vec<Told>,
    outputs: Vec<Value>,
    /// The classes of its nodes tell what kind of work it is.
    node_classes: Vec<String>,
    /// Kinds of models, not their names.
    model_folders: Vec<String>,
    names_and_places_are_locked: bool,
}

/// A parameter.
#[derive(Debug, Clone, Serialize)]
struct Told {
    name: String,
    place: &'static str,
    #[serde(rename = "type")]
    ty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    sets: Vec<String>,
}

impl Facts {
    /// What is told of an endpoint. `locked`: whether names and places have to stay.
    pub fn of(endpoint: &Endpoint, locked: bool) -> Self {
        let mut model_folders: Vec<String> =
            endpoint.models.iter().map(|model| model.folder.clone()).collect();
        model_folders.sort();
        model_folders.dedup();
        let outputs = endpoint
            .outputs
            .iter()
            .map(|output| json!({"name": output.name, "kind": output.kind, "node_class": output.class_type}));
        Self {
            path: endpoint.path.clone(),
            title: endpoint.title.clone(),
            description: endpoint.description.clone(),
            parameters: endpoint.params.iter().filter_map(|param| told(endpoint, param)).collect(),
            outputs: outputs.collect(),
            node_classes: endpoint.classes.clone(),
            model_folders,
            names_and_places_are_locked: locked,
        }
    }
}

/// Nothing of what callers do not see.
fn told(endpoint: &Endpoint, param: &Param) -> Option<Told> {
    let place = match param.tier {
        Tier::Primary => "primary",
        Tier::Advanced => "advanced",
        Tier::Model | Tier::Hidden => return None,
    };
    let number = |number: &comfyport_workflow::json::Number| number.to_string().parse().ok();
    let sets = param.bindings.iter().map(|binding| {
        let title = endpoint.graph.node(&binding.node).and_then(|node| node.title.as_deref());
        let class = &binding.class_type;
        match title.filter(|title| title != class) {
            Some(title) => {
                let title: String = title.chars().filter(|one| !one.is_control()).take(LONGEST).collect();
                format!("{} of {class} “{title}”", binding.input)
            }
            None => format!("{} of {class}", binding.input),
        }
    });
    Some(Told {
        name: param.name.clone(),
        place,
        ty: param.ty.as_str(),
        role: param.role.clone(),
        default: param.default.as_ref().and_then(harmless),
        min: param.min.as_ref().and_then(number),
        max: param.max.as_ref().and_then(number),
        unit: param.unit.clone(),
        description: param.description.clone(),
        sets: sets.collect(),
    })
}

/// Numbers and switches. Texts may be prompts, names of files or keys of services.
fn harmless(value: &Json) -> Option<Value> {
    let value = serde_json::to_value(value).ok()?;
    (value.is_number() || value.is_boolean()).then_some(value)
}
