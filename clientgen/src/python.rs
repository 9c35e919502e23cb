//! The package in Python.

use std::collections::BTreeMap;

use crate::{
    api::{Api, Workflow},
    text,
};

mod idents;
mod readme;
mod types;

const WIDTH: usize = 100;

/// The folder of the package, which is what is imported.
const PACKAGE: &str = "comfyport_client";

pub(crate) fn files(api: &Api<'_>) -> BTreeMap<String, String> {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let inside = |name: &str, text: String| (format!("{PACKAGE}/{name}"), text);
    let project = include_str!("python/pyproject.toml").replace("0.0.0", env!("CARGO_PKG_VERSION"));
    BTreeMap::from([
        file("README.md", &readme::of(api)),
        file("pyproject.toml", &project),
        inside("__init__.py", include_str!("python/__init__.py").to_owned()),
        inside("_runtime.py", include_str!("python/_runtime.py").to_owned()),
        inside("py.typed", String::new()),
        inside("workflows.py", module(api)),
    ])
}

fn module(api: &Api<'_>) -> String {
    let mut body = String::new();
    for (name, options) in &api.lists {
        let options: Vec<String> = options.iter().map(|option| literal(option)).collect();
        body.push_str(&literals(name, &options));
    }
    body.push_str(&literals("ProblemCode", &api.codes.iter().map(|code| literal(code)).collect::<Vec<_>>()));
    body.push_str("\"\"\"A stable name for a kind of problem; a later server may know others.\"\"\"\n");
    for workflow in &api.workflows {
        types::workflow(api, workflow, &mut body);
    }
    let names = names(api);
    let listed: String = names.iter().map(|name| format!("    \"{name}\",\n")).collect();
    format!("{}\n__all__ = [\n{listed}]\n\n{body}", include_str!("python/head.py"))
}

/// Every name that the module gives away, sorted.
fn names(api: &Api<'_>) -> Vec<String> {
    let mut names: Vec<String> = api.lists.keys().cloned().collect();
    names.push("ProblemCode".to_owned());
    for Workflow { endpoint, name } in &api.workflows {
        names.extend(["Request", "Outputs", "Params"].map(|suffix| format!("{name}{suffix}")));
        if !endpoint.advanced.is_empty() {
            names.extend(["Advanced", "AdvancedParams"].map(|suffix| format!("{name}{suffix}")));
        }
    }
    names.sort_unstable();
    names
}

/// `Name = Literal["a", "b"]`, over several lines where it is long.
fn literals(name: &str, options: &[String]) -> String {
    if options.is_empty() {
        return format!("{name} = str\n");
    }
    let line = format!("{name} = Literal[{}]\n", options.join(", "));
    if line.chars().count() <= WIDTH {
        return line;
    }
    let options: String = options.iter().map(|option| format!("    {option},\n")).collect();
    format!("{name} = Literal[\n{options}]\n")
}

fn literal(text: &str) -> String {
    text::literal(text, |code| format!("\\U{code:08x}"))
}

/// A documentation string. Nothing in it ends it, and nothing is an escape.
fn doc(text: &str, indent: &str, out: &mut String) {
    let text = text::line(text);
    let (text, end) = text.strip_suffix('"').map_or((text.as_str(), ""), |rest| (rest, "\\\""));
    let tame = text.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"") + end;
    match text::wrap(&tame, WIDTH - 8).as_slice() {
        [] => {}
        [line] => out.push_str(&format!("{indent}\"\"\"{line}\"\"\"\n")),
        lines => {
            let lines = lines.join(&format!("\n{indent}"));
            out.push_str(&format!("{indent}\"\"\"{lines}\n{indent}\"\"\"\n"));
        }
    }
}
