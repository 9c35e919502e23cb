//! Which paths a workflow may have.

use std::collections::BTreeMap;

use super::{names, version};
use crate::diagnostic::{Diagnostic, printable};

/// Routes of the server itself.
const RESERVED: &[&str] = &[
    "workflows",
    "prompt",
    "jobs",
    "batches",
    "webhooks",
    "uploads",
    "engines",
    "models",
    "nodes",
    "admin",
    "health",
    "ready",
    "metrics",
    "openapi.json",
    "docs",
    "favicon.ico",
];

/// Finds workflows that cannot have the routes of their path, or that would share one. `stems` are the paths of their
/// files without the ending.
pub fn check<'p>(stems: impl Iterator<Item = &'p str>) -> Vec<(String, Diagnostic)> {
    let stems: Vec<&str> = stems.collect();
    let (places, mut found) = version::assign(stems.iter().copied());
    let mut routes: BTreeMap<String, (&str, &str)> = BTreeMap::new();
    // In the order they came: whoever comes first has the route.
    for (stem, place) in stems.iter().filter_map(|stem| Some((*stem, places.get(stem)?))) {
        let unfit = place.routes().find_map(|route| unfit(stem, route));
        let clash = || {
            place.routes().find_map(|route| {
                let (other, theirs) = routes.get(&names(route).join("/"))?;
                Some(same_route((stem, route), (other, theirs)))
            })
        };
        match unfit.or_else(clash) {
            Some(diagnostic) => found.push((format!("{stem}.json"), diagnostic)),
            None => routes.extend(place.routes().map(|route| (names(route).join("/"), (stem, route)))),
        }
    }
    found
}

/// Two files, each with the route that is nearly the other's.
fn same_route((stem, route): (&str, &str), (other, theirs): (&str, &str)) -> Diagnostic {
    let shown = |stem: &str, route: &str| {
        if stem == route { format!("`{stem}.json`") } else { format!("`{stem}.json` (served at `/{route}`)") }
    };
    let message = format!(
        "{} and {} would be the same module and nearly the same route",
        shown(stem, route),
        shown(other, theirs)
    );
    let help = if stem == route {
        format!("rename one of them, such as `{stem}_b.json`")
    } else {
        "rename one of them".to_owned()
    };
    Diagnostic::error("same-route", message).help(help)
}

fn unfit(stem: &str, path: &str) -> Option<Diagnostic> {
    let first = path.split('/').next().unwrap_or_default();
    if RESERVED.contains(&first.to_lowercase().as_str()) {
        let message = format!("`/{first}` is a route of the server itself");
        return Some(
            Diagnostic::error("reserved-route", message)
                .help(format!("rename `{stem}.json` to `my_{stem}.json`")),
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
        assert_eq!(codes(&["a", "a@2", "v1/b", "v3/a"]), Vec::<&str>::new());
        assert_eq!(codes(&["a", "a@2", "v1/a"]), ["same-route"]);
        assert_eq!(codes(&["A", "a@2"]), ["same-route"]);
        assert_eq!(codes(&["jobs@2", "a@b/c"]), ["reserved-route", "odd-route"]);
        assert_eq!(codes(&["a", "a@1"]), ["two-versions"]);
    }
}
