//! How to use the package, shown with one of its workflows.

use super::{Api, Workflow, example, literal, property};

pub(super) fn of(api: &Api<'_>) -> String {
    let text = include_str!("README.md");
    let Some(Workflow { endpoint, .. }) = shown(api) else {
        return text.replace("$path", "\"a/workflow\"").replace("$request", "{}").replace("$output", "image");
    };
    let required = endpoint.fields.iter().filter(|field| field.required).filter_map(|field| {
        Some(format!("{}: {}", property(&field.name), example(field, &api.shape(field))?))
    });
    let members = required.collect::<Vec<_>>().join(", ");
    let request = if members.is_empty() { "{}".to_owned() } else { format!("{{ {members} }}") };
    let output = endpoint.outputs.first().map_or("image", |output| &output.name);
    text.replace("$path", &literal(&endpoint.path)).replace("$request", &request).replace("$output", output)
}

/// The workflow that asks for the least.
fn shown<'a, 'e>(api: &'a Api<'e>) -> Option<&'a Workflow<'e>> {
    let required =
        |workflow: &&Workflow<'_>| workflow.endpoint.fields.iter().filter(|field| field.required).count();
    api.workflows.iter().filter(|workflow| !workflow.endpoint.outputs.is_empty()).min_by_key(required)
}
