//! Prints what the editor would submit for a workflow that it saved, one node a line:
//! `cargo run -p comfyport-workflow --example ui_convert -- FILE [OBJECT_INFO]`

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used)]

use comfyport_workflow::{Catalog, json, ui::convert};

fn main() {
    let mut paths = std::env::args_os().skip(1);
    let read = |path| std::fs::read(path).unwrap();
    let saved = json::parse(&read(paths.next().expect("the path of a workflow"))).unwrap().value;
    let own = paths.next().map(|path| Catalog::from_object_info(&read(path)).unwrap().0);
    let converted = convert(&saved, own.as_ref().unwrap_or(Catalog::core()));
    let nodes = converted
        .graph
        .iter()
        .map(|(id, node)| format!("{}: {}", json::Value::from(id.as_str()).to_json(), node.to_json()));
    println!("{{\n{}\n}}", nodes.collect::<Vec<_>>().join(",\n"));
    for found in converted.diagnostics {
        eprint!("{}", found.render("the workflow"));
    }
}
