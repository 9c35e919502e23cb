//! Inputs that a class has got since a workflow was exported.
//!
//! ComfyUI refuses a prompt that lacks a required input, also one that has a default: the editor would have filled it
//! in when it loaded the workflow. Engines that do not know the input yet ignore it.

use crate::{
    catalog::{Catalog, InputDef, InputKind},
    diagnostic::Diagnostic,
    graph::{Graph, Input, Node},
    json::Value,
};

/// Findings beyond this many are counted.
const MOST_FINDINGS: usize = 200;

/// Sets what is missing to what the editor would have set it to, and says so.
pub(super) fn fill(graph: &mut Graph, catalog: &Catalog, diagnostics: &mut Vec<Diagnostic>) {
    let mut count = 0;
    for node in graph.nodes.values_mut() {
        let Some(definition) = catalog.get(&node.class_type) else { continue };
        let missing = definition.inputs.iter().filter(|input| input.required);
        for input in missing.filter(|input| !is_set(node, &input.name)).collect::<Vec<_>>() {
            let finding = match start_value(input) {
                Some(value) => {
                    let finding = filled(&node.class_type, input, &value);
                    node.inputs.insert(input.name.clone(), Input::Literal(value));
                    finding
                }
                None if matches!(input.kind, InputKind::Socket(_)) => Diagnostic::warning(
                    "missing-input",
                    format!("`{}` needs `{}`, and nothing is connected to it", node.class_type, input.name),
                )
                .help("ComfyUI will refuse the workflow: connect it in the editor and export again"),
                None => continue,
            };
            count += 1;
            if count <= MOST_FINDINGS {
                diagnostics.push(finding.at_node(&node.id, node.title.as_deref()).at_input(&input.name));
            }
        }
    }
    if let Some(more @ 1..) = count.checked_sub(MOST_FINDINGS) {
        diagnostics.push(Diagnostic::note("more", format!("and {more} more inputs that are not set")));
    }
}

/// Inputs that grow or depend on another one are spelt `name.part`.
fn is_set(node: &Node, input: &str) -> bool {
    let part = |name: &String| name.strip_prefix(input).is_some_and(|rest| rest.starts_with('.'));
    node.inputs.contains_key(input) || node.inputs.keys().any(part)
}

fn start_value(input: &InputDef) -> Option<Value> {
    if input.force_input || input.listing.is_some() || matches!(input.kind, InputKind::Socket(_)) {
        return None;
    }
    let first = || input.options.first().filter(|_| input.kind == InputKind::Combo).cloned();
    input.default.clone().or_else(first)
}

fn filled(class: &str, input: &InputDef, value: &Value) -> Diagnostic {
    Diagnostic::note(
        "filled-input",
        format!(
            "`{class}` has got the input `{}` since this export; it is set to {}, as the editor would",
            input.name,
            value.to_json()
        ),
    )
    .help("export the workflow again to choose another value, or set the default in the sidecar")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source;

    #[test]
    fn what_the_editor_would_fill_in_is_filled_in_and_told() {
        let text = br#"{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},
            "2":{"class_type":"ImageScale","inputs":{"image":["1",0],"width":64,"height":64}},
            "3":{"class_type":"ImageInvert","inputs":{}},
            "4":{"class_type":"SaveImage","inputs":{"images":["2",0]}}}"#;
        let mut graph = source::read(text).unwrap().graph;
        let mut diagnostics = Vec::new();
        fill(&mut graph, Catalog::core(), &mut diagnostics);
        let found: Vec<_> = diagnostics
            .iter()
            .map(|found| (found.code, found.node.as_deref().unwrap(), found.input.as_deref().unwrap()))
            .collect();
        let expected = [
            ("filled-input", "2", "upscale_method"),
            ("filled-input", "2", "crop"),
            ("missing-input", "3", "image"),
            ("filled-input", "4", "filename_prefix"),
        ];
        assert_eq!(found, expected);
        let scale = graph.node("2").unwrap();
        assert_eq!(scale.literal("crop").and_then(Value::as_str), Some("disabled"));
        assert_eq!(scale.literal("upscale_method").and_then(Value::as_str), Some("nearest-exact"));
    }
}
