//! What was decided about an endpoint, remembered: a public API never changes by accident.
//!
//! `name.lock` beside `name.json` holds every public name with what it is bound to and why. The next export is matched
//! with it: nodes are found again under other ids, names are kept, and what cannot be kept is told as a difference of
//! the API, which stops a build until it is accepted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    diagnostic::{Diagnostic, printable},
    endpoint::{Binding, Derived, Endpoint, Output, Param, Tier},
    fingerprint::Shapes,
    graph::Graph,
    infer::Options,
    json,
    sidecar::Sidecar,
};

mod changes;
mod hold;
mod rematch;

pub use changes::{Change, ChangeKind};
pub(crate) use hold::Held;

const VERSION: u32 = 1;

/// The code of diagnostics about differences from a lock.
const DRIFT: &str = "drift";

/// The code of diagnostics about names that could mean several nodes.
const AMBIGUOUS: &str = "ambiguous-lock";

const HEADER: &str = "# The public API of this workflow, written by `comfyport lock accept`. Commit it; a build fails if the\n\
                      # workflow no longer fits.\n";

/// The content of a lock file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    #[serde(default)]
    params: Vec<LockedParam>,
    #[serde(default)]
    outputs: Vec<LockedOutput>,
}

/// One public field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockedParam {
    name: String,
    tier: String,
    #[serde(rename = "type")]
    ty: String,
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// Told, not held: defaults may change.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<toml::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<toml::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    options: Vec<toml::Value>,
    signal: String,
    /// For a field that no node has, what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    derived: Option<String>,
    /// The entry of the sidecar file that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    bindings: Vec<LockedInput>,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockedOutput {
    name: String,
    kind: String,
    /// The entry of the sidecar file that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    node: LockedNode,
}

/// One input of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockedInput {
    input: String,
    node: LockedNode,
}

/// How a node is found again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockedNode {
    id: String,
    class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Its class and its neighbours, hashed.
    near: String,
    /// Its place in the whole graph, hashed.
    whole: String,
}

impl Lock {
    /// Whether a node's result was offered.
    pub(crate) fn has_output(&self, node: &str) -> bool {
        self.outputs.iter().any(|output| output.node.id == node)
    }

    /// Reads a lock file.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let odd = |message: String| {
            vec![
                Diagnostic::error("lock", message)
                    .help("restore the file, or delete it and run `comfyport lock accept`"),
            ]
        };
        let lock: Self =
            toml::from_str(text).map_err(|error| odd(format!("lock file: {}", error.message())))?;
        if lock.version != VERSION {
            return Err(odd(format!(
                "lock file of version {}; this comfyport reads {VERSION}",
                lock.version
            )));
        }
        if let Some(name) = lock.names().find(|name| !is_field(name)) {
            return Err(odd(format!("lock file: `{}` is not a name", printable(name))));
        }
        Ok(lock)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let params = self.params.iter().map(|param| param.name.as_str());
        params.chain(self.outputs.iter().map(|output| output.name.as_str()))
    }

    /// The lock of an endpoint as it is now.
    pub fn of(endpoint: &Endpoint, sidecar: Option<&Sidecar>) -> Self {
        let nodes = Nodes { graph: &endpoint.graph, shapes: Shapes::of(&endpoint.graph) };
        let keys = endpoint
            .sidecar_keys
            .iter()
            .filter(|(key, _)| sidecar.is_some_and(|sidecar| sidecar.params.contains_key(key)));
        let by_place: BTreeMap<&Binding, &String> = keys.map(|(key, binding)| (binding, key)).collect();
        let params = endpoint.params.iter().filter_map(|param| {
            let switch = || {
                let rule =
                    sidecar?.switches.get(&param.name).filter(|_| param.derived == Some(Derived::Switch))?;
                Some(hold::switch_key(&rule.nodes))
            };
            let key = param.sets().iter().find_map(|binding| by_place.get(binding));
            let key = key.map(|key| (*key).clone()).or_else(switch);
            (is_public(param) || key.is_some()).then(|| nodes.param(param, key))
        });
        let output_keys = endpoint.sidecar_outputs.iter();
        let output_keys: BTreeMap<&str, &String> =
            output_keys.map(|(key, node)| (node.as_str(), key)).collect();
        let outputs = endpoint
            .outputs
            .iter()
            .map(|output| nodes.output(output, output_keys.get(output.node.as_str()).copied()));
        Self { version: VERSION, params: params.collect(), outputs: outputs.collect() }
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        // Names, numbers and text serialise.
        format!("{HEADER}{}", toml::to_string(self).unwrap_or_default())
    }

    /// What differs between two APIs, from this one to `newer`. Nodes are taken to be the same if their ids are.
    pub fn changes(&self, newer: &Self) -> Vec<Change> {
        changes::between(self, newer)
    }
}

/// A lock to be written, and what it changes.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The new lock.
    pub lock: Lock,
    /// How the API differs from the one that was locked; nothing where there was no lock.
    pub changes: Vec<Change>,
    /// What else was found.
    pub diagnostics: Vec<Diagnostic>,
}

/// Infers an endpoint and takes its API for the new one. Fails where no endpoint can be made at all.
pub fn accept(bytes: &[u8], options: &Options<'_>) -> Result<Accepted, Vec<Diagnostic>> {
    let mut endpoint = crate::endpoint(bytes, options)?;
    endpoint.diagnostics.retain(|found| found.code != DRIFT && found.code != AMBIGUOUS);
    if !endpoint.is_usable() {
        return Err(endpoint.diagnostics);
    }
    let lock = Lock::of(&endpoint, options.sidecar);
    Ok(Accepted { lock, changes: endpoint.changes, diagnostics: endpoint.diagnostics })
}

/// How the API of a workflow differs from one that was locked elsewhere: in a release, on another branch. Fails where
/// no endpoint can be made, or one that differs from its own lock.
pub fn compare(bytes: &[u8], options: &Options<'_>, former: &Lock) -> Result<Vec<Change>, Vec<Diagnostic>> {
    let endpoint = crate::endpoint(bytes, options)?;
    if !endpoint.is_usable() {
        return Err(endpoint.diagnostics);
    }
    let former = Held::new(former, &endpoint.graph, options.sidecar);
    Ok(former.changes(&endpoint, options.sidecar))
}

/// Whether this could be a field. Wider than what a sidecar file may say: inference also gives names, and longer ones.
fn is_field(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

fn is_public(param: &Param) -> bool {
    matches!(param.tier, Tier::Primary | Tier::Advanced)
}

fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Primary => "primary",
        Tier::Advanced => "advanced",
        Tier::Model => "model",
        Tier::Hidden => "hidden",
    }
}

/// Writes nodes down.
struct Nodes<'g> {
    graph: &'g Graph,
    shapes: Shapes,
}

impl Nodes<'_> {
    fn node(&self, id: &str) -> LockedNode {
        let node = self.graph.node(id);
        let shape = self.shapes.get(id);
        LockedNode {
            id: id.to_owned(),
            class: node.map(|node| node.class_type.clone()).unwrap_or_default(),
            title: node.and_then(|node| node.title.clone()),
            near: format!("{:016x}", shape.near),
            whole: format!("{:016x}", shape.whole),
        }
    }

    fn param(&self, param: &Param, key: Option<String>) -> LockedParam {
        let number =
            |number: &Option<json::Number>| number.as_ref().filter(|one| one.is_finite()).map(plain_number);
        let binding =
            |binding: &Binding| LockedInput { input: binding.input.clone(), node: self.node(&binding.node) };
        LockedParam {
            name: param.name.clone(),
            tier: tier_name(param.tier).to_owned(),
            ty: param.ty.as_str().to_owned(),
            required: param.required,
            role: param.role.clone(),
            default: param.default.as_ref().and_then(plain),
            min: number(&param.min),
            max: number(&param.max),
            options: if param.open { Vec::new() } else { param.options.iter().filter_map(plain).collect() },
            signal: param.signal.clone(),
            derived: param.derived.map(|derived| derived.as_str().to_owned()),
            key,
            bindings: param.bindings.iter().map(binding).collect(),
        }
    }

    fn output(&self, output: &Output, key: Option<&String>) -> LockedOutput {
        LockedOutput {
            name: output.name.clone(),
            kind: output.kind.as_str().to_owned(),
            key: key.cloned(),
            node: self.node(&output.node),
        }
    }
}

/// A value as TOML has it; what TOML cannot hold exactly is text.
fn plain(value: &json::Value) -> Option<toml::Value> {
    Some(match value {
        json::Value::Bool(value) => toml::Value::Boolean(*value),
        json::Value::Number(number) => plain_number(number),
        json::Value::String(text) => toml::Value::String(text.clone()),
        json::Value::Null | json::Value::Array(_) | json::Value::Object(_) => return None,
    })
}

fn plain_number(number: &json::Number) -> toml::Value {
    match number.as_i128().map(i64::try_from) {
        Some(Ok(whole)) => toml::Value::Integer(whole),
        None if number.is_finite() => toml::Value::Float(number.as_f64()),
        Some(Err(_)) | None => toml::Value::String(number.as_str().to_owned()),
    }
}
