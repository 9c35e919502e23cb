//! The types of one workflow.

use comfyport_endpoint::{Field, OutputKind};

use super::{doc, idents::Idents, literal};
use crate::api::{Api, Shape, Workflow, is_told};

pub(super) fn workflow(api: &Api<'_>, workflow: &Workflow<'_>, out: &mut String) {
    let (name, path) = (&workflow.name, &workflow.endpoint.path);
    if !workflow.endpoint.advanced.is_empty() {
        let about = format!("Values of `{path}` that few callers set.");
        class(&format!("{name}Advanced"), &about, out);
        attributes(api, &workflow.endpoint.advanced, None, out);
    }
    outputs(api, workflow, out);
    params(api, workflow, out);
    request(api, workflow, out);
}

fn request(api: &Api<'_>, workflow: &Workflow<'_>, out: &mut String) {
    let Workflow { endpoint, name } = workflow;
    let described = if endpoint.description.is_empty() { &endpoint.title } else { &endpoint.description };
    let about = format!("What `POST /{}` takes. {described}", endpoint.path);
    class(&format!("{name}Request(Request[\"{name}Outputs\", \"{name}Params\"])"), &about, out);
    out.push_str(&format!("    _path_: ClassVar[str] = {}\n", literal(&endpoint.path)));
    out.push_str(&format!("    _outputs_: ClassVar[Type[{name}Outputs]] = {name}Outputs\n\n"));
    let advanced =
        (!endpoint.advanced.is_empty()).then(|| (format!("{name}Advanced"), workflow.needs_advanced()));
    attributes(api, &endpoint.fields, advanced, out);
}

fn class(head: &str, about: &str, out: &mut String) {
    // By name alone: a workflow that gains an input keeps its callers.
    out.push_str(&format!("\n\n@dataclass(kw_only=True)\nclass {head}:\n"));
    doc(about, "    ", out);
    out.push('\n');
}

/// Attributes of a request.
fn attributes(api: &Api<'_>, fields: &[Field], advanced: Option<(String, bool)>, out: &mut String) {
    let mut idents = Idents::of(api);
    // Reserved first: it is the one name that is the same everywhere.
    let advanced = advanced.map(|(ty, required)| (idents.unique("advanced"), ty, required));
    for field in fields {
        let ident = idents.unique(&field.name);
        let ty = ty(api, field, "Media");
        let ty = if field.required { ty } else { format!("Optional[{ty}]") };
        let default = match (*ident == *field.name, field.required) {
            (true, true) => String::new(),
            (true, false) => " = None".to_owned(),
            (false, true) => format!(" = field(metadata={{\"name\": {}}})", literal(&field.name)),
            (false, false) => {
                format!(" = field(default=None, metadata={{\"name\": {}}})", literal(&field.name))
            }
        };
        out.push_str(&format!("    {ident}: {ty}{default}\n"));
        doc(&field.doc, "    ", out);
    }
    if let Some((ident, ty, required)) = advanced {
        let member = if required { ty } else { format!("Optional[{ty}] = None") };
        out.push_str(&format!("    {ident}: {member}\n    \"\"\"Values that few callers set.\"\"\"\n"));
    }
}

fn outputs(api: &Api<'_>, workflow: &Workflow<'_>, out: &mut String) {
    let Workflow { endpoint, name } = workflow;
    class(&format!("{name}Outputs"), &format!("The named outputs of `{}`.", endpoint.path), out);
    let mut idents = Idents::of(api);
    for output in &endpoint.outputs {
        let ident = idents.unique(&output.name);
        let ty = if output.kind == OutputKind::Text { "str" } else { "Artifact" };
        let renamed = if *ident == *output.name {
            String::new()
        } else {
            format!(" = field(metadata={{\"name\": {}}})", literal(&output.name))
        };
        out.push_str(&format!("    {ident}: List[{ty}]{renamed}\n"));
        doc(&format!("{}, node {}", output.class_type, output.node), "    ", out);
    }
}

fn params<'e>(api: &Api<'_>, workflow: &Workflow<'e>, out: &mut String) {
    let Workflow { endpoint, name } = workflow;
    let told = |fields: &'e [Field]| -> Vec<(&'e str, String)> {
        let told = |field: &'e Field| {
            let ty = ty(api, field, "MediaSummary");
            (&*field.name, if is_told(field) { ty } else { format!("NotRequired[{ty}]") })
        };
        fields.iter().map(told).collect()
    };
    let (advanced, mut members) = (told(&endpoint.advanced), told(&endpoint.fields));
    if !advanced.is_empty() {
        let about = format!("The values under `advanced` that a run of `{}` was made with.", endpoint.path);
        typed_dict(&format!("{name}AdvancedParams"), &about, &advanced, out);
        let ty = format!("{name}AdvancedParams");
        members.push(("advanced", if workflow.tells_advanced() { ty } else { format!("NotRequired[{ty}]") }));
    }
    let about = format!("The values a run of `{}` was made with.", endpoint.path);
    typed_dict(&format!("{name}Params"), &about, &members, out);
}

/// A class where all keys are names, a call where they are not.
fn typed_dict(name: &str, about: &str, members: &[(&str, String)], out: &mut String) {
    let is_name = |key: &str| {
        key.starts_with(|first: char| first.is_ascii_alphabetic())
            && key.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
            && !super::idents::is_taken(key)
    };
    if members.iter().all(|(key, _)| is_name(key)) {
        out.push_str(&format!("\n\nclass {name}(TypedDict):\n"));
        doc(about, "    ", out);
        out.push('\n');
        for (key, ty) in members {
            out.push_str(&format!("    {key}: {ty}\n"));
        }
        return;
    }
    out.push_str(&format!("\n\n{name} = TypedDict(\n    \"{name}\",\n    {{\n"));
    for (key, ty) in members {
        out.push_str(&format!("        {}: {},\n", literal(key), literal(ty)));
    }
    out.push_str("    },\n)\n");
    doc(about, "", out);
}

fn ty(api: &Api<'_>, field: &Field, file: &str) -> String {
    match api.shape(field) {
        Shape::Text => "str".to_owned(),
        Shape::Choice(name) => name.to_owned(),
        Shape::Numbers([]) | Shape::Integer { .. } => "int".to_owned(),
        Shape::Numbers(options) => {
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            format!("Literal[{}]", options.join(", "))
        }
        Shape::Float => "float".to_owned(),
        Shape::Boolean => "bool".to_owned(),
        Shape::File => file.to_owned(),
        Shape::Loras => "List[Lora]".to_owned(),
    }
}
