//! The package in TypeScript: one module, which any bundler, compiler or runtime takes as it is.

use std::collections::BTreeMap;

use comfyport_endpoint::Field;
use serde_json::Value;

use crate::{
    api::{Api, Shape, Workflow},
    text,
};

mod readme;
mod types;

/// Declarations that use what comes before them: the part that is the same for every server.
const RUNTIME: &str = include_str!("typescript/runtime.ts");

const WIDTH: usize = 110;

pub(crate) fn files(api: &Api<'_>) -> BTreeMap<String, String> {
    let file = |name: &str, text: String| (name.to_owned(), text);
    BTreeMap::from([
        file("README.md", readme::of(api)),
        file("package.json", package()),
        file("src/index.ts", module(api)),
        file("tsconfig.json", include_str!("typescript/tsconfig.json").to_owned()),
    ])
}

fn package() -> String {
    include_str!("typescript/package.json").replace("0.0.0", env!("CARGO_PKG_VERSION"))
}

fn module(api: &Api<'_>) -> String {
    let mut out =
        String::from("// Written by `comfyport client ts`; changes are lost when it is written again.\n");
    for (name, options) in &api.lists {
        let options = options.iter().map(|option| literal(option)).collect();
        out.push_str(&format!("\n{}", union(name, options)));
    }
    for workflow in &api.workflows {
        types::workflow(api, workflow, &mut out);
    }
    out.push_str("\n/** Every workflow by its path. */\nexport interface Workflows {\n");
    for Workflow { endpoint, name } in &api.workflows {
        doc(&endpoint.title, "  ", &mut out);
        let path = literal(&endpoint.path);
        out.push_str(&format!(
            "  {path}: {{ request: {name}Request; outputs: {name}Outputs; params: {name}Params }};\n"
        ));
    }
    out.push_str("}\n\n/** A stable name for a kind of problem; a later server may know others. */\n");
    let mut codes: Vec<String> = api.codes.iter().map(|code| literal(code)).collect();
    codes.push("(string & {})".to_owned());
    out.push_str(&union("ProblemCode", codes));
    out.push_str(&format!("\n{}\n{RUNTIME}", wide(api)));
    out
}

/// `export type Name = "a" | "b";`, over several lines where it is long.
fn union(name: &str, options: Vec<String>) -> String {
    let line = format!("export type {name} = {};\n", options.join(" | "));
    if line.chars().count() <= WIDTH {
        return line;
    }
    let options: String = options.iter().map(|option| format!("\n  | {option}")).collect();
    format!("export type {name} ={options};\n")
}

/// The table of values that are given and told as `bigint`.
fn wide(api: &Api<'_>) -> String {
    let mut out = String::from(
        "/** Whole numbers of each workflow that may exceed 2^53: they are exact as `bigint`. */\n\
         const WIDE: Record<string, readonly string[]> = {\n",
    );
    for workflow in &api.workflows {
        let is_wide = |field: &&Field| matches!(api.shape(field), Shape::Integer { wide: true });
        let fields = workflow.endpoint.fields.iter().filter(is_wide).map(|field| literal(&field.name));
        let advanced = workflow.endpoint.advanced.iter().filter(is_wide);
        let advanced = advanced.map(|field| literal(&format!("advanced.{}", field.name)));
        let names: Vec<String> = fields.chain(advanced).collect();
        if !names.is_empty() {
            out.push_str(&format!("  {}: [{}],\n", literal(&workflow.endpoint.path), names.join(", ")));
        }
    }
    out.push_str("};\n");
    out
}

/// A comment of one line, or of several. Nothing in it ends it, and nothing is a tag.
fn doc(text: &str, indent: &str, out: &mut String) {
    let tame = text::line(text).replace("*/", "*\\/").replace("/*", "/ *");
    let tame: Vec<String> = tame
        .split(' ')
        .map(|word| if word.starts_with('@') { format!("\\{word}") } else { word.to_owned() })
        .collect();
    match text::wrap(&tame.join(" "), WIDTH - 10).as_slice() {
        [] => {}
        [line] => out.push_str(&format!("{indent}/** {line} */\n")),
        lines => {
            out.push_str(&format!("{indent}/**\n"));
            for line in lines {
                out.push_str(&format!("{indent} * {line}\n"));
            }
            out.push_str(&format!("{indent} */\n"));
        }
    }
}

fn literal(text: &str) -> String {
    text::literal(text, |code| format!("\\u{{{code:x}}}"))
}

/// The name of a property, in quotes where it must be.
fn property(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
    if plain { name.to_owned() } else { literal(name) }
}

/// A value that could be sent, as an example.
fn example(field: &Field, shape: &Shape<'_>) -> Option<String> {
    let default: Option<Value> = field.default.as_deref().and_then(|json| serde_json::from_str(json).ok());
    Some(match shape {
        Shape::Text => literal(default.as_ref().and_then(Value::as_str).unwrap_or("a lighthouse at dusk")),
        Shape::File => "picture".to_owned(),
        Shape::Integer { .. } => "1".to_owned(),
        Shape::Float => "1.5".to_owned(),
        Shape::Boolean => "true".to_owned(),
        Shape::Numbers(options) => options.first()?.to_string(),
        Shape::Choice(_) | Shape::Loras => return None,
    })
}
