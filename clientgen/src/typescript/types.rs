//! The types of one workflow.

use comfyport_endpoint::{Endpoint, Field, OutputKind};

use super::{doc, property};
use crate::api::{Api, Shape, Workflow, is_told};

pub(super) fn workflow(api: &Api<'_>, workflow: &Workflow<'_>, out: &mut String) {
    let Workflow { endpoint, name } = workflow;
    let Endpoint { path, title, description, .. } = endpoint;
    let described = if description.is_empty() { title } else { description };
    out.push('\n');
    doc(&format!("What `POST /{path}` takes. {described}"), "", out);
    out.push_str(&format!("export interface {name}Request {{\n"));
    for field in &endpoint.fields {
        doc(&field.doc, "  ", out);
        let optional = if field.required { "" } else { "?" };
        out.push_str(&format!("  {}{optional}: {};\n", property(&field.name), given(api, field)));
    }
    if !endpoint.advanced.is_empty() {
        let optional = if workflow.needs_advanced() { "" } else { "?" };
        out.push_str(&format!(
            "  /** Values that few callers set. */\n  advanced{optional}: {name}Advanced;\n"
        ));
    }
    out.push_str("}\n");
    if !endpoint.advanced.is_empty() {
        out.push('\n');
        doc(&format!("Values of `{path}` that few callers set."), "", out);
        out.push_str(&format!("export interface {name}Advanced {{\n"));
        for field in &endpoint.advanced {
            doc(&field.doc, "  ", out);
            let optional = if field.required { "" } else { "?" };
            out.push_str(&format!("  {}{optional}: {};\n", property(&field.name), given(api, field)));
        }
        out.push_str("}\n");
    }
    outputs(workflow, out);
    params(api, workflow, out);
}

fn outputs(workflow: &Workflow<'_>, out: &mut String) {
    let Workflow { endpoint, name } = workflow;
    out.push('\n');
    doc(&format!("The named outputs of `{}`.", endpoint.path), "", out);
    out.push_str(&format!("export interface {name}Outputs {{\n"));
    for output in &endpoint.outputs {
        doc(&format!("{}, node {}", output.class_type, output.node), "  ", out);
        let ty = if output.kind == OutputKind::Text { "string[]" } else { "Artifact[]" };
        out.push_str(&format!("  {}: {ty};\n", property(&output.name)));
    }
    out.push_str("}\n");
}

fn params(api: &Api<'_>, workflow: &Workflow<'_>, out: &mut String) {
    let Workflow { endpoint, name } = workflow;
    out.push('\n');
    doc(&format!("The values a run of `{}` was made with.", endpoint.path), "", out);
    out.push_str(&format!("export interface {name}Params {{\n"));
    let member = |field: &Field| {
        let optional = if is_told(field) { "" } else { "?" };
        format!("{}{optional}: {};\n", property(&field.name), told(api, field))
    };
    for field in &endpoint.fields {
        out.push_str(&format!("  {}", member(field)));
    }
    if !endpoint.advanced.is_empty() {
        let optional = if workflow.tells_advanced() { "" } else { "?" };
        out.push_str(&format!("  advanced{optional}: {{\n"));
        for field in &endpoint.advanced {
            out.push_str(&format!("    {}", member(field)));
        }
        out.push_str("  };\n");
    }
    out.push_str("}\n");
}

/// The type of a value that is given.
fn given(api: &Api<'_>, field: &Field) -> String {
    match api.shape(field) {
        Shape::Integer { wide: true } => "number | bigint".to_owned(),
        Shape::File => "Media".to_owned(),
        shape => plain(&shape),
    }
}

/// The type of a value that is told.
fn told(api: &Api<'_>, field: &Field) -> String {
    match api.shape(field) {
        Shape::Integer { wide: true } => "bigint".to_owned(),
        Shape::File => "MediaSummary".to_owned(),
        shape => plain(&shape),
    }
}

fn plain(shape: &Shape<'_>) -> String {
    match shape {
        Shape::Text => "string".to_owned(),
        Shape::Choice(name) => (*name).to_owned(),
        Shape::Numbers([]) | Shape::Integer { .. } | Shape::Float => "number".to_owned(),
        Shape::Numbers(options) => options.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
        Shape::Boolean => "boolean".to_owned(),
        Shape::File => "Media".to_owned(),
        Shape::Loras => "Lora[]".to_owned(),
    }
}
