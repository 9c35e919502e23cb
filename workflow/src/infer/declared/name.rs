//! From what authors type to names of parameters.

use crate::{
    diagnostic::{Diagnostic, printable},
    graph::Node,
    infer::names::slug,
    sidecar::{NAME_RULE, is_name},
};

/// A name that fits, from a text that a tool let its author choose freely. `None`, with a warning, where nothing of it
/// can be a name.
pub(super) fn read(raw: &str, node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let raw = raw.trim();
    if raw.is_empty() || is_name(raw) {
        return Some(raw.to_owned()).filter(|name| !name.is_empty());
    }
    let at = |found: Diagnostic| found.at_node(&node.id, node.title.as_deref());
    let Some(name) = slug(raw) else {
        diagnostics.push(at(Diagnostic::warning(
            "bad-name",
            format!("`{}` cannot be the name of a parameter, so another one is used", printable(raw)),
        )
        .help(format!("{NAME_RULE}; write such a name in the node, or in the sidecar file"))));
        return None;
    };
    if is_name(&name) && raw.len() <= 64 {
        return Some(name);
    }
    let usable = usable(&name);
    diagnostics.push(at(Diagnostic::warning(
        "bad-name",
        format!("`{}` cannot be the name of a parameter: it is called `{usable}`", printable(raw)),
    )
    .help(format!("{NAME_RULE}, has at most 64 of them, and is not `options` or `advanced`"))));
    Some(usable)
}

fn usable(name: &str) -> String {
    let short = name.get(..64).unwrap_or(name).trim_end_matches('_');
    if is_name(short) { short.to_owned() } else { format!("{short}_") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_authors_type_becomes_a_name_or_a_warning() {
        let node = Node {
            id: "1".to_owned(),
            class_type: "Any".to_owned(),
            title: None,
            inputs: indexmap::IndexMap::new(),
        };
        let long = "word ".repeat(40);
        for (raw, expected, warnings) in [
            ("prompt", Some("prompt"), 0),
            ("x", Some("x"), 0),
            ("Negative Prompt", Some("negative_prompt"), 0),
            ("\"]; drop(); //", Some("drop"), 0),
            ("advanced", Some("advanced_"), 1),
            ("提示词", None, 1),
            ("", None, 0),
        ] {
            let mut found = Vec::new();
            assert_eq!(read(raw, &node, &mut found).as_deref(), expected, "{raw}");
            assert_eq!(found.len(), warnings, "{raw}: {found:?}");
        }
        let mut found = Vec::new();
        let name = read(&long, &node, &mut found).unwrap();
        assert!(is_name(&name), "{name}");
        assert_eq!(found.len(), 1);
    }
}
