//! From bytes to a graph: finding it, reading it, and saying what is wrong with it.

use std::collections::VecDeque;

use crate::{
    catalog::Catalog,
    diagnostic::{Diagnostic, printable},
    embedded,
    graph::{
        Graph,
        read::{check_links, graph, looks_like_graph},
    },
    json::{self, Object, Value},
    ui::{self, Converted, UiFacts},
};

/// A graph and what was odd about its file.
#[derive(Debug, Clone)]
pub struct Source {
    /// The graph as exported, dead nodes included.
    pub graph: Graph,
    /// What the editor's own format says beside the graph.
    pub facts: UiFacts,
    /// Warnings and notes.
    pub diagnostics: Vec<Diagnostic>,
    /// The same workflow with groups taking part that are switched off in the file, the fullest first: each says in its
    /// facts which groups these are. Served if all of them become switches.
    pub awake: Vec<Source>,
}

/// How deep below the top of the file a graph is looked for.
const DEEPEST_WRAPPER: usize = 5;

/// Reads a workflow with the definitions of ComfyUI's own nodes; see [`read_with`].
pub fn read(bytes: &[u8]) -> Result<Source, Vec<Diagnostic>> {
    read_with(bytes, Catalog::core())
}

/// Reads a workflow: bare, wrapped in another document, as a string inside one, or in the metadata of a picture, film,
/// sound, mesh or latent that ComfyUI saved. The editor's own format is turned into the API format, for which its
/// nodes have to be known.
///
/// Links are checked here, so that a graph that comes back refers to nothing it does not have and has no cycle.
pub fn read_with(bytes: &[u8], catalog: &Catalog) -> Result<Source, Vec<Diagnostic>> {
    let bytes = embedded::open(bytes).map_err(|found| vec![found])?;
    let parsed = json::parse(&bytes)
        .map_err(|error| vec![Diagnostic::error("invalid-json", format!("the file is not JSON: {error}"))])?;
    let mut diagnostics: Vec<Diagnostic> = parsed.duplicate_keys.iter().map(|key| duplicate(key)).collect();
    let (members, facts, awake) = match find(&parsed.value, &exported) {
        Some(members) => {
            // Files that keep both forms side by side: the editor's says more about the same nodes.
            let facts = saved(&parsed.value, &|value| ui::convert(value, catalog).facts);
            (members, facts.unwrap_or_default(), Vec::new())
        }
        None => converted(&parsed.value, catalog, &mut diagnostics)?,
    };
    let mut source = checked(&members, facts, diagnostics)?;
    let awake = awake
        .into_iter()
        .filter_map(|Converted { graph, facts, diagnostics, .. }| checked(&graph, facts, diagnostics).ok());
    source.awake = awake.collect();
    Ok(source)
}

fn checked(
    members: &Object,
    facts: UiFacts,
    mut diagnostics: Vec<Diagnostic>,
) -> Result<Source, Vec<Diagnostic>> {
    let graph = graph(members, &mut diagnostics);
    check_links(&graph, &mut diagnostics);
    if diagnostics.iter().any(Diagnostic::is_error) {
        Err(diagnostics)
    } else {
        Ok(Source { graph, facts, diagnostics, awake: Vec::new() })
    }
}

/// All groups that can be woken at once, and each of several by itself.
fn awake(value: &Value, asleep: &[usize], catalog: &Catalog) -> Vec<Converted> {
    let alone = asleep.chunks(1).filter(|_| asleep.len() > 1);
    let sets = [asleep].into_iter().filter(|all| !all.is_empty()).chain(alone);
    sets.map(|groups| ui::convert_awake(value, catalog, groups)).collect()
}

/// What the editor would submit, if the file is in its own format. Errors come all at once, without those that only
/// follow from them.
fn converted(
    value: &Value,
    catalog: &Catalog,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(Object, UiFacts, Vec<Converted>), Vec<Diagnostic>> {
    let whole = |value: &Value| {
        let submitted = ui::convert(value, catalog);
        let awake = awake(value, &submitted.asleep, catalog);
        (submitted, awake)
    };
    let Some((Converted { graph, facts, diagnostics: found, .. }, awake)) = saved(value, &whole) else {
        return Err(vec![no_graph()]);
    };
    diagnostics.extend(found);
    if graph.is_empty() && !diagnostics.iter().any(Diagnostic::is_error) {
        diagnostics.push(nothing_to_run());
    }
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(std::mem::take(diagnostics));
    }
    Ok((graph, facts, awake))
}

fn saved<T>(value: &Value, convert: &dyn Fn(&Value) -> T) -> Option<T> {
    find(value, &|value| ui::is_ui_format(value).then(|| convert(value)))
}

fn duplicate(key: &str) -> Diagnostic {
    Diagnostic::warning(
        "duplicate-key",
        format!("`{}` is written more than once; the last one counts", printable(key)),
    )
    .help("export the workflow again, or delete the one that is not meant")
}

fn no_graph() -> Diagnostic {
    Diagnostic::error("no-graph", "there is no workflow in this file")
        .help("expected an object of nodes such as {\"3\": {\"class_type\": \"KSampler\", \"inputs\": {…}}}, or what the editor saves")
}

fn nothing_to_run() -> Diagnostic {
    Diagnostic::error("ui-format", "this workflow of the editor has no node that could be executed").help(
        "in ComfyUI open the workflow and choose Workflow → Export (API); \
             in older releases enable Dev mode options in the settings, then Save (API Format)",
    )
}

fn exported(value: &Value) -> Option<Object> {
    value.as_object().filter(|members| looks_like_graph(members)).cloned()
}

/// Breadth first, so that the outermost graph wins.
fn find<T>(value: &Value, take: &dyn Fn(&Value) -> Option<T>) -> Option<T> {
    let mut open = VecDeque::from([(value, 0)]);
    while let Some((value, depth)) = open.pop_front() {
        if let Some(found) = take(value) {
            return Some(found);
        }
        if depth == DEEPEST_WRAPPER {
            continue;
        }
        match value {
            Value::Object(members) => open.extend(members.values().map(|member| (member, depth + 1))),
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::String(text) if is_document(text) => {
                let inner = json::parse(text.as_bytes()).ok();
                if let Some(found) = inner.and_then(|inner| find(&inner.value, take)) {
                    return Some(found);
                }
            }
            _ => {}
        }
    }
    None
}

fn is_document(text: &str) -> bool {
    text.trim_start().starts_with('{') && (text.contains("class_type") || text.contains("\"nodes\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = r#""1":{"class_type":"EmptyImage","inputs":{"width":8}}"#;

    fn code(text: &str) -> &'static str {
        read(text.as_bytes()).map_or_else(
            |all| all[0].code,
            |source| source.diagnostics.first().map_or("ok", |first| first.code),
        )
    }

    #[test]
    fn wrappers_are_opened() {
        let bare = format!("{{{NODE},\"version\":1,\"extra\":null}}");
        let string = serde_json::to_string(&bare).unwrap();
        for text in [
            bare.clone(),
            format!("{{\"input\":{{\"workflow\":{bare}}}}}"),
            format!("{{\"workflows\":[{{\"workflowApiJSON\":{string}}}]}}"),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap().graph.nodes.len(), 1, "{text}");
        }
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(code(r#"{"nodes":[],"links":[]}"#), "ui-format");
        assert_eq!(code("{}"), "no-graph");
        assert_eq!(code("[1,"), "invalid-json");
        assert_eq!(
            code(&format!(r#"{{{NODE},"2":{{"class_type":"A","inputs":{{"x":["9",0]}}}}}}"#)),
            "dangling-link"
        );
        assert_eq!(
            code(&format!(r#"{{{NODE},"2":{{"class_type":"A","inputs":{{"x":["2",0]}}}}}}"#)),
            "cycle"
        );
        assert_eq!(
            code(&format!(r#"{{{NODE},"2":{{"class_type":"A","inputs":{{"x":[1,0]}}}}}}"#)),
            "odd-link"
        );
        assert_eq!(code(&format!(r#"{{{NODE},"2":{{"inputs":{{}}}}}}"#)), "missing-class");
        assert_eq!(code(&format!(r#"{{{NODE},"2":{{"class_type":"A","inputs":null}}}}"#)), "ok");
    }

    #[test]
    fn a_chain_of_100_000_nodes_is_read() {
        let nodes = (0..100_000).map(|id| {
            let input = if id == 0 { String::new() } else { format!("\"x\":[\"{}\",0]", id - 1) };
            format!("\"{id}\":{{\"class_type\":\"A\",\"inputs\":{{{input}}}}}")
        });
        let text = format!("{{{}}}", nodes.collect::<Vec<_>>().join(","));
        assert_eq!(read(text.as_bytes()).unwrap().graph.nodes.len(), 100_000);
    }
}
