//! Compares our conversion of the editor's format with the editor's own:
//! `cargo run -p comfyport-workflow --example ui_compare -- UI_DIR API_DIR OBJECT_INFO`
//!
//! `API_DIR` holds, under the same names, what the editor submits for the files in `UI_DIR`. Order does not count.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

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
    let (mut outcomes, mut of_known): (BTreeMap<&str, usize>, BTreeMap<&str, usize>) = <_>::default();
    for file in files {
        let Ok(expected) = fs::read(api.join(file.file_name().unwrap())) else { continue };
        let expected = parse(&expected).unwrap().value;
        let Ok(saved) = parse(&fs::read(&file).unwrap()) else { continue };
        if !is_ui_format(&saved.value) {
            continue;
        }
        let converted = convert(&saved.value, &catalog);
        let found = Comparison { saved: &saved.value, catalog: &catalog }
            .of(&converted.graph, expected.as_object().unwrap());
        let errors: Vec<&Diagnostic> =
            converted.diagnostics.iter().filter(|found| found.is_error()).collect();
        let outcome = found.outcome(errors.is_empty());
        *outcomes.entry(outcome).or_insert(0) += 1;
        let known = |node: &Value| {
            node.get("class_type").and_then(Value::as_str).is_some_and(|class| catalog.get(class).is_some())
        };
        if expected.as_object().unwrap().values().chain(converted.graph.values()).all(known) {
            *of_known.entry(outcome).or_insert(0) += 1;
        }
        if !outcome.starts_with("identical") || !errors.is_empty() {
            println!("{} {outcome}", file.file_name().unwrap().display());
            for found in errors {
                println!("    {} {:?} {}", found.code, found.node, found.message);
            }
            found.differences.iter().take(12).for_each(|difference| println!("    {difference}"));
        }
    }
    print("all files", &outcomes);
    print("files of known classes only", &of_known);
}

fn print(what: &str, outcomes: &BTreeMap<&str, usize>) {
    let all: usize = outcomes.values().sum();
    println!("{what}: {all}");
    for (outcome, count) in outcomes {
        println!("  {outcome}: {count} ({:.1} %)", 100.0 * *count as f64 / all.max(1) as f64);
    }
}

/// How two graphs differ.
#[derive(Default)]
struct Found {
    differences: Vec<String>,
    /// Titles: where none was saved, the editor shows one in its language.
    titles: usize,
    /// Values for inputs that the class does not have: previews, which only the editor submits, and what the file of
    /// another release names, which only we submit.
    unknown: usize,
    /// Nodes that no result needs: the editor submits what is in a bypassed subgraph of a subgraph.
    dead: usize,
    /// Values that are ours by their names in the file, which the editor reads by their places.
    named: usize,
}

impl Found {
    fn outcome(&self, accepted: bool) -> &'static str {
        match (accepted, self.differences.is_empty()) {
            (true, true) if self.named > 0 => "identical but for values that the file gives names",
            (true, true) if self.dead > 0 => "identical but for nodes that no result needs",
            (true, true) if self.unknown > 0 => "identical but for inputs that the class does not have",
            (true, true) if self.titles > 0 => "identical but for default titles",
            (true, true) => "identical",
            (false, true) => "identical, but an error was found",
            (true, false) => "different",
            (false, false) => "refused",
        }
    }
}

struct Comparison<'c> {
    saved: &'c Value,
    catalog: &'c Catalog,
}

impl Comparison<'_> {
    fn of(&self, ours: &Object, theirs: &Object) -> Found {
        let mut found = Found::default();
        let live = self.live(theirs);
        for (id, node) in theirs {
            match ours.get(id) {
                Some(own) => self.node(id, own, node, &mut found),
                None if !live.contains(id.as_str()) => found.dead += 1,
                None => found.differences.push(format!("{id} is missing ({:?})", class(node))),
            }
        }
        let surplus = ours.iter().filter(|(id, _)| !theirs.contains_key(*id));
        found.differences.extend(surplus.map(|(id, node)| format!("{id} is too much ({:?})", class(node))));
        found
    }

    /// What output nodes need.
    fn live<'g>(&self, graph: &'g Object) -> BTreeSet<&'g str> {
        let ends = graph.iter().filter(|(_, node)| {
            class(node)
                .is_none_or(|class| self.catalog.get(class).is_none_or(|definition| definition.output_node))
        });
        let mut open: Vec<&str> = ends.map(|(id, _)| id.as_str()).collect();
        let mut live = BTreeSet::new();
        while let Some(id) = open.pop() {
            if live.insert(id) {
                let inputs = graph.get(id).and_then(|node| node.get("inputs")?.as_object());
                let links = inputs.into_iter().flat_map(Object::values).filter_map(Value::as_array);
                open.extend(links.filter_map(|link| link.first()?.as_str()));
            }
        }
        live
    }

    fn node(&self, id: &str, ours: &Value, theirs: &Value, found: &mut Found) {
        let title = |node: &Value| node.get("_meta").and_then(|meta| meta.get("title")).cloned();
        found.titles += usize::from(title(ours) != title(theirs));
        if class(ours) != class(theirs) {
            found.differences.push(format!("{id} is {:?} instead of {:?}", class(ours), class(theirs)));
        }
        let inputs =
            |node: &Value| node.get("inputs").and_then(Value::as_object).cloned().unwrap_or_default();
        let (own, expected) = (inputs(ours), inputs(theirs));
        for (name, value) in &expected {
            match own.get(name) {
                Some(own) if same(own, value) => {}
                Some(own) if self.is_named(id, name, own) => found.named += 1,
                None if self.is_unknown(theirs, name) => found.unknown += 1,
                own => {
                    let own = own.map_or_else(|| "nothing".to_owned(), Value::to_json);
                    found
                        .differences
                        .push(format!("{id} {name}: {own:.60} instead of {:.60}", value.to_json()));
                }
            }
        }
        for (name, value) in own.iter().filter(|(name, _)| !expected.contains_key(*name)) {
            if self.is_unknown(theirs, name) {
                found.unknown += 1;
            } else {
                found.differences.push(format!("{id} {name}: {:.60} is too much", value.to_json()));
            }
        }
    }

    /// Whether the class of a node is known to have no such input.
    fn is_unknown(&self, node: &Value, name: &str) -> bool {
        let Some(definition) = class(node).and_then(|class| self.catalog.get(class)) else { return false };
        let first = name.split('.').next().unwrap_or(name);
        let brings = definition.input(first).is_some_and(|input| input.dynamic.is_some());
        definition.input(name).is_none() && !brings
    }

    /// Whether the file says by name that the node, or a subgraph that it stands in, has this value.
    fn is_named(&self, id: &str, name: &str, value: &Value) -> bool {
        let (outside, inside) = id.rsplit_once(':').unwrap_or(("", id));
        let is = |named: &Value| same(value, named);
        named_values(self.saved, inside).any(|values| values.get(name).is_some_and(is))
            || outside.split(':').any(|id| {
                named_values(self.saved, id).filter_map(Value::as_object).flat_map(Object::values).any(is)
            })
    }
}

fn named_values<'v>(saved: &'v Value, id: &'v str) -> impl Iterator<Item = &'v Value> {
    nodes(saved, id).filter_map(|node| node.get("widgets_values_named"))
}

fn class(node: &Value) -> Option<&str> {
    node.get("class_type").and_then(Value::as_str)
}

/// Nodes of the file and of its subgraphs with this id.
fn nodes<'v>(saved: &'v Value, id: &'v str) -> impl Iterator<Item = &'v Value> {
    let subgraphs = saved.get("definitions").and_then(|all| all.get("subgraphs")?.as_array());
    let graphs = std::iter::once(saved).chain(subgraphs.into_iter().flatten());
    let nodes = graphs.filter_map(|graph| graph.get("nodes")?.as_array()).flatten();
    nodes.filter(move |node| node.get("id").is_some_and(|own| own.to_json().trim_matches('"') == id))
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
