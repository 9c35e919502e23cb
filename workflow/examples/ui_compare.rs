//! Compares our conversion of the editor's format with the editor's own:
//! `cargo run -p comfyport-workflow --example ui_compare -- UI_DIR API_DIR OBJECT_INFO`
//!
//! `API_DIR` holds, under the same names, what the editor submits for the files in `UI_DIR`. Order does not count.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use comfyport_workflow::{
    Catalog, Diagnostic,
    json::{Object, Value, parse},
    ui::{convert, is_ui_format},
};

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let mut argument = |name: &str| arguments.next().unwrap_or_else(|| panic!("{name} is missing"));
    let (ui, api, definitions) = (argument("UI_DIR"), argument("API_DIR"), argument("OBJECT_INFO"));
    let (catalog, _) = Catalog::from_object_info(&fs::read(definitions).unwrap()).unwrap();
    let mut files: Vec<PathBuf> = fs::read_dir(ui).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        let Ok(expected) = fs::read(api.join(file.file_name().unwrap())) else { continue };
        let expected = parse(&expected).unwrap().value;
        let Ok(saved) = parse(&fs::read(&file).unwrap()) else { continue };
        if !is_ui_format(&saved.value) {
            continue;
        }
        let converted = convert(&saved.value, &catalog);
        let (differences, titles, extra) =
            differences(&converted.graph, expected.as_object().unwrap(), &catalog);
        let errors: Vec<&Diagnostic> =
            converted.diagnostics.iter().filter(|found| found.is_error()).collect();
        let outcome = match (errors.is_empty(), differences.is_empty()) {
            (true, true) if extra > 0 => "identical but for inputs that the class does not have",
            (true, true) if titles > 0 => "identical but for default titles",
            (true, true) => "identical",
            (false, true) => "identical, but an error was found",
            (true, false) => "different",
            (false, false) => "refused",
        };
        *outcomes.entry(outcome).or_insert(0) += 1;
        if !outcome.starts_with("identical") || !errors.is_empty() {
            println!("{} {outcome}", file.file_name().unwrap().display());
            for found in errors {
                println!("    {} {:?} {}", found.code, found.node, found.message);
            }
            differences.iter().take(12).for_each(|difference| println!("    {difference}"));
        }
    }
    let all: usize = outcomes.values().sum();
    for (outcome, count) in outcomes {
        println!("{outcome}: {count} of {all} ({:.1} %)", 100.0 * count as f64 / all.max(1) as f64);
    }
}

/// What is not the same; how many titles are not, because where none was saved the editor shows one in its language;
/// and how many values are for inputs that the class does not have: previews, which only the editor submits, and what
/// the file of another release names, which only we submit.
fn differences(ours: &Object, theirs: &Object, catalog: &Catalog) -> (Vec<String>, usize, usize) {
    let (mut found, mut titles, mut extra) = (Vec::new(), 0, 0);
    for (id, node) in theirs {
        let Some(own) = ours.get(id) else {
            found.push(format!("{id} is missing ({:?})", node.get("class_type").and_then(Value::as_str)));
            continue;
        };
        let title = |node: &Value| node.get("_meta").and_then(|meta| meta.get("title")).cloned();
        titles += usize::from(title(own) != title(node));
        if own.get("class_type") != node.get("class_type") {
            found.push(format!(
                "{id} is {:?} instead of {:?}",
                own.get("class_type"),
                node.get("class_type")
            ));
        }
        let inputs =
            |node: &Value| node.get("inputs").and_then(Value::as_object).cloned().unwrap_or_default();
        let (own, expected) = (inputs(own), inputs(node));
        for (name, value) in &expected {
            if is_unknown(catalog, node, name) && !own.contains_key(name) && value.as_array().is_none() {
                extra += 1;
            } else if !own.get(name).is_some_and(|own| same(own, value)) {
                let own = own.get(name).map_or_else(|| "nothing".to_owned(), Value::to_json);
                found.push(format!("{id} {name}: {own:.60} instead of {:.60}", value.to_json()));
            }
        }
        for (name, value) in own.iter().filter(|(name, _)| !expected.contains_key(*name)) {
            if is_unknown(catalog, node, name) && value.as_array().is_none() {
                extra += 1;
            } else {
                found.push(format!("{id} {name}: {:.60} is too much", value.to_json()));
            }
        }
    }
    let surplus = ours.keys().filter(|id| !theirs.contains_key(*id));
    found.extend(surplus.map(|id| format!("{id} is too much ({:?})", ours[id].get("class_type"))));
    (found, titles, extra)
}

/// Whether the class of a node is known to have no such input.
fn is_unknown(catalog: &Catalog, node: &Value, name: &str) -> bool {
    let class = node.get("class_type").and_then(Value::as_str).and_then(|class| catalog.get(class));
    let first = name.split('.').next().unwrap_or(name);
    class.is_some_and(|class| class.input(first).is_none())
}

/// `8` and `8.0` are one number in a browser, which also rounds beyond 2^53.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(left), Value::Number(right)) => {
            left.as_f64().to_bits() == right.as_f64().to_bits() || left.as_f64() - right.as_f64() == 0.0
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => ours == theirs,
    }
}
