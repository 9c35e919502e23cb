//! What `POST /prompt` refuses, in the words of ComfyUI 0.3.64.

use std::collections::BTreeSet;

use comfyport_workflow::{
    catalog::{Catalog, NodeDef},
    json::{Object, Value},
};
use indexmap::IndexMap;

use crate::{python, shared::Engine};

mod inputs;

/// The verdict on a prompt.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It runs: these output nodes, while these nodes have errors.
    Valid { outputs: Vec<String>, node_errors: Value },
    /// It does not.
    Invalid { error: Value, node_errors: Value },
    /// ComfyUI itself fails on it.
    Crash,
}

/// What was found at one node.
#[derive(Debug, Clone)]
enum Checked {
    Good,
    /// Errors of its own; none if only what it needs is bad.
    Bad(Vec<Value>),
    /// A Python exception: type, message, traceback.
    Raised(Exception),
}

/// A Python exception.
#[derive(Debug, Clone)]
struct Exception {
    ty: &'static str,
    message: String,
    line: u32,
}

impl Exception {
    fn traceback(&self) -> Value {
        let frame = format!("  File \"/srv/ComfyUI/execution.py\", line {}, in validate_inputs\n", self.line);
        python::texts(["  File \"/srv/ComfyUI/execution.py\", line 1010, in validate_prompt\n", &frame])
    }
}

/// Deeper graphs overflow Python's stack.
const MAX_DEPTH: usize = 900;

fn refusal(kind: &str, message: String, details: String) -> Verdict {
    let error = python::object([
        ("type", Value::from(kind)),
        ("message", Value::from(message)),
        ("details", Value::from(details)),
        ("extra_info", Value::Object(Object::new())),
    ]);
    Verdict::Invalid { error, node_errors: Value::Object(Object::new()) }
}

/// Checks a prompt, and converts its literals as ComfyUI does.
pub(crate) fn prompt(engine: &Engine, prompt: &mut Value, targets: Option<&Value>) -> Verdict {
    let no_outputs = || refusal("prompt_no_outputs", "Prompt has no outputs".to_owned(), String::new());
    let nodes = match prompt {
        Value::Object(nodes) => nodes,
        Value::Array(items) if items.is_empty() => return no_outputs(),
        _ => return Verdict::Crash,
    };
    let (installed, mut outputs) = (engine.installed(), Vec::new());
    for (id, node) in &*nodes {
        let Value::Object(node) = node else { return Verdict::Crash };
        let Some(class) = node.get("class_type") else {
            let message = "Cannot execute because a node is missing the class_type property.";
            return refusal("invalid_prompt", message.to_owned(), format!("Node ID '#{id}'"));
        };
        let class = python::str(class);
        let Some(definition) = installed.catalog.get(&class) else {
            let message = format!("Cannot execute because node {class} does not exist.");
            return refusal("invalid_prompt", message, format!("Node ID '#{id}'"));
        };
        if definition.output_node && targets.is_none_or(|targets| contains(targets, id)) {
            outputs.push(id.clone());
        }
    }
    if outputs.is_empty() {
        return no_outputs();
    }
    verdict(engine, nodes, &outputs)
}

/// Python's `in`.
fn contains(targets: &Value, id: &str) -> bool {
    match targets {
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(id)),
        Value::String(text) => text.contains(id),
        Value::Null => true,
        _ => false,
    }
}

fn verdict(engine: &Engine, nodes: &mut Object, outputs: &[String]) -> Verdict {
    let mut checked: IndexMap<String, Checked> = IndexMap::new();
    let mut good = Vec::new();
    let mut details = Vec::new();
    let mut node_errors: IndexMap<String, (Vec<Value>, Vec<String>)> = IndexMap::new();
    let installed = engine.installed();
    for output in outputs {
        let Some(order) = order(&installed.catalog, nodes, output) else { continue };
        for id in order {
            if !checked.contains_key(&id) {
                let result = inputs::check(engine, nodes, &id, &mut checked);
                checked.insert(id, result);
            }
        }
        if let Some(Checked::Raised(exception)) = checked.get(output) {
            let error = inputs::exception(
                "exception_during_validation",
                "Exception when validating node",
                exception,
                [],
            );
            checked.insert(output.clone(), Checked::Bad(vec![error]));
        }
        let Some(Checked::Bad(reasons)) = checked.get(output) else {
            good.push(output.clone());
            continue;
        };
        details.extend(reasons.iter().map(|reason| {
            let text = |key| reason.get(key).and_then(Value::as_str).unwrap_or_default();
            format!("{}: {}", text("message"), text("details"))
        }));
        for (id, result) in &checked {
            if let Checked::Bad(errors) = result
                && !errors.is_empty()
            {
                let entry = node_errors.entry(id.clone()).or_insert_with(|| (errors.clone(), Vec::new()));
                entry.1.push(output.clone());
            }
        }
    }
    let node_errors = Value::Object(
        node_errors
            .into_iter()
            .map(|(id, (errors, dependent))| {
                let entry = python::object([
                    ("errors", Value::Array(errors)),
                    ("dependent_outputs", python::texts(dependent.iter().map(String::as_str))),
                    ("class_type", nodes[&id].get("class_type").cloned().unwrap_or(Value::Null)),
                ]);
                (id, entry)
            })
            .collect(),
    );
    if good.is_empty() {
        let refused = refusal(
            "prompt_outputs_failed_validation",
            "Prompt outputs failed validation".to_owned(),
            details.join("\n"),
        );
        let Verdict::Invalid { error, .. } = refused else { return Verdict::Crash };
        return Verdict::Invalid { error, node_errors };
    }
    Verdict::Valid { outputs: good, node_errors }
}

/// What a node needs, before it; `None` if Python's stack would overflow on it, as on a cycle.
fn order(catalog: &Catalog, nodes: &Object, output: &str) -> Option<Vec<String>> {
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut path: BTreeSet<String> = BTreeSet::new();
    let mut out = Vec::new();
    let mut stack = vec![(output.to_owned(), None::<Vec<String>>)];
    while let Some((id, needs)) = stack.pop() {
        let mut needs = if let Some(needs) = needs {
            needs
        } else {
            if done.contains(&id) {
                continue;
            }
            if path.contains(&id) || path.len() > MAX_DEPTH {
                return None;
            }
            path.insert(id.clone());
            needs_of(catalog, nodes, &id)
        };
        if let Some(next) = needs.pop() {
            stack.push((id, Some(needs)));
            stack.push((next, None));
        } else {
            path.remove(&id);
            done.insert(id.clone());
            out.push(id);
        }
    }
    Some(out)
}

/// The nodes that checking a node goes on to: those that its inputs link to with a type that fits.
fn needs_of(catalog: &Catalog, nodes: &Object, id: &str) -> Vec<String> {
    let (Some(definition), Some(Value::Object(given))) =
        (definition(catalog, nodes, id), nodes[id].get("inputs"))
    else {
        return Vec::new();
    };
    let mut needs: Vec<String> = given
        .iter()
        .filter(|(name, _)| definition.inputs.is_empty() || definition.input(name).is_some())
        .filter_map(|(name, value)| {
            let [Value::String(node), slot] = value.as_array()? else { return None };
            let received = inputs::received(catalog, nodes, node, slot).ok()?;
            let fits = definition.input(name).is_none_or(|input| inputs::fits(&received, input));
            fits.then(|| node.clone())
        })
        .collect();
    needs.reverse();
    needs
}

fn definition<'a>(catalog: &'a Catalog, nodes: &Object, id: &str) -> Option<&'a NodeDef> {
    catalog.get(nodes.get(id)?.get("class_type")?.as_str()?)
}
