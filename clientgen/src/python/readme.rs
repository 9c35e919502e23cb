//! How to use the package, shown with one of its workflows.

use super::{Api, Workflow, idents::Idents, literal};
use crate::api::Shape;

pub(super) fn of(api: &Api<'_>) -> String {
    let text = include_str!("README.md");
    let required =
        |workflow: &&Workflow<'_>| workflow.endpoint.fields.iter().filter(|field| field.required).count();
    let usable = api.workflows.iter().filter(|workflow| !workflow.endpoint.outputs.is_empty());
    let Some(Workflow { endpoint, name }) = usable.min_by_key(required) else {
        return text.replace("$class", "SomeRequest").replace("$arguments", "").replace("$output", "image");
    };
    let mut idents = Idents::of(api);
    let arguments = endpoint.fields.iter().filter(|field| field.required).filter_map(|field| {
        let value = match api.shape(field) {
            Shape::Text => literal("a lighthouse at dusk"),
            Shape::File => "picture".to_owned(),
            Shape::Integer { .. } => "1".to_owned(),
            Shape::Float => "1.5".to_owned(),
            Shape::Boolean => "True".to_owned(),
            Shape::Numbers(_) | Shape::Choice(_) | Shape::Loras => return None,
        };
        Some(format!("{}={value}", idents.unique(&field.name)))
    });
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    let output =
        endpoint.outputs.first().map_or_else(String::new, |output| Idents::of(api).unique(&output.name));
    text.replace("$class", &format!("{name}Request"))
        .replace("$arguments", &arguments)
        .replace("$output", &output)
}
