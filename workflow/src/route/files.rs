//! Which files of a folder are workflows.

use std::collections::BTreeMap;

use crate::{WORKFLOW_ENDINGS, diagnostic::Diagnostic};

/// The file in a folder of workflows that extends the catalog. It is no workflow.
pub const OBJECT_INFO: &str = "object_info.json";

/// What workflows of a folder need, pinned. It is no lock of a workflow.
pub const PROJECT_LOCK: &str = "comfyport.lock";

/// What a project knows of models. It is no sidecar file of a workflow.
pub const PROJECT_MODELS: &str = "models.toml";

/// The route of the workflow that a file belongs to by its name, if it is a sidecar file or a lock.
pub fn of_companion(name: &str) -> Option<&str> {
    let route = name.strip_suffix(".toml").or_else(|| name.strip_suffix(".lock"));
    route.filter(|_| name != PROJECT_LOCK && name != PROJECT_MODELS)
}

/// The route of a file by its path below the folder: the path without its ending, if files of that ending may hold a
/// workflow.
pub fn of_file(name: &str) -> Option<&str> {
    let (route, ending) = name.rsplit_once('.')?;
    (name != OBJECT_INFO && WORKFLOW_ENDINGS.contains(&ending)).then_some(route)
}

/// The file of each route, and what is wrong where two files would have the same one. The first file has it.
pub fn of_files<'f>(
    names: impl Iterator<Item = &'f str>,
) -> (BTreeMap<&'f str, &'f str>, Vec<(String, Diagnostic)>) {
    let mut routes: BTreeMap<&str, &str> = BTreeMap::new();
    let mut twins = Vec::new();
    for name in names {
        let Some(route) = of_file(name) else { continue };
        let Some(other) = routes.get(route) else {
            routes.insert(route, name);
            continue;
        };
        let message = format!("`{other}` and `{name}` are both the workflow `{route}`");
        let help = format!("keep one of them in this folder, or rename one, such as `{route}_b`");
        twins.push((name.to_owned(), Diagnostic::error("two-files", message).help(help)));
    }
    (routes, twins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_in_one_file() {
        let names = ["a/b.json", "a/b.png", "a/c.glb", "a/c.toml", "d.webp", "e.txt", "f", OBJECT_INFO];
        let (routes, twins) = of_files(names.into_iter());
        assert_eq!(routes, [("a/b", "a/b.json"), ("a/c", "a/c.glb"), ("d", "d.webp")].into());
        let companions =
            ["a/b.toml", "a/b.lock", "a/b.json", "models.toml", "a/models.toml", "comfyport.lock"];
        let routes = companions.map(of_companion);
        assert_eq!(routes, [Some("a/b"), Some("a/b"), None, None, Some("a/models"), None]);
        let [(file, found)] = twins.as_slice() else { panic!("{twins:?}") };
        assert_eq!(file, "a/b.png");
        assert_eq!(found.message, "`a/b.json` and `a/b.png` are both the workflow `a/b`");
    }
}
