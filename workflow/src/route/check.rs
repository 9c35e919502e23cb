//! Which paths a workflow may have.

use std::collections::BTreeMap;

use super::names;
use crate::diagnostic::{Diagnostic, printable};

/// Routes of the server itself.
const RESERVED: &[&str] = &[
    "workflows",
    "prompt",
    "jobs",
    "uploads",
    "health",
    "ready",
    "metrics",
    "openapi.json",
    "docs",
    "favicon.ico",
];

/// Finds paths that cannot be routes, or that two workflows would share.
pub fn check<'p>(paths: impl Iterator<Item = &'p str>) -> Vec<(String, Diagnostic)> {
    let mut found = Vec::new();
    let mut routes: BTreeMap<String, &str> = BTreeMap::new();
    for path in paths {
        let file = format!("{path}.json");
        if let Some(diagnostic) = unfit(path) {
            found.push((file, diagnostic));
            continue;
        }
        if let Some(other) = routes.insert(names(path).join("/"), path) {
            let message = format!(
                "`{path}.json` and `{other}.json` would be the same module and nearly the same route"
            );
            found.push((
                file,
                Diagnostic::error("same-route", message)
                    .help(format!("rename one of them, such as `{path}_b.json`")),
            ));
        }
    }
    found
}

fn unfit(path: &str) -> Option<Diagnostic> {
    let first = path.split('/').next().unwrap_or_default();
    if RESERVED.contains(&first.to_lowercase().as_str()) {
        let message = format!("`/{first}` is a route of the server itself");
        return Some(
            Diagnostic::error("reserved-route", message)
                .help(format!("rename `{path}.json` to `my_{path}.json`")),
        );
    }
    let plain = |segment: &str| {
        segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
            && !segment.starts_with('.')
            && !segment.is_empty()
            && segment.len() <= 100
    };
    if path.split('/').all(plain) {
        return None;
    }
    let better: String = path
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() || "_-./".contains(one) { one } else { '_' })
        .collect();
    let message = format!("`{}` is no route: letters, digits, `_`, `-` and `.` are", printable(path));
    Some(Diagnostic::error("odd-route", message).help(format!("rename the file to `{better}.json`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clashes_are_refused_with_what_mends_them() {
        let codes = |paths: &[&str]| {
            check(paths.iter().copied()).into_iter().map(|(_, found)| found.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(&["sd15/txt2img", "sd15/img2img"]), Vec::<&str>::new());
        assert_eq!(codes(&["jobs/x"]), ["reserved-route"]);
        assert_eq!(codes(&["Docs"]), ["reserved-route"]);
        assert_eq!(codes(&["a-b", "a_b"]), ["same-route"]);
        assert_eq!(codes(&["a/B", "a/b"]), ["same-route"]);
        assert_eq!(codes(&["a b", "c:check", "../x", "é"]), ["odd-route"; 4]);
    }
}
