//! Versions of a workflow beside each other: `portrait@2.json` is the second one of `portrait`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::diagnostic::{Diagnostic, printable};

/// The greatest number of a version.
const MOST: u32 = 9999;

/// Where a workflow is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The route that is this workflow's whatever comes after it: `portrait`, or `v2/portrait` where there are
    /// versions.
    pub path: String,
    /// Which version it is, where there are several or one has a number.
    pub version: Option<Version>,
}

/// One of the versions of a workflow. Serialises to `version` and `versions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Its number, from 1.
    #[serde(rename = "version")]
    pub number: u32,
    /// The numbers of all versions there are, in order.
    #[serde(rename = "versions")]
    pub all: Vec<u32>,
    /// The route that leads to the newest of them: `portrait`.
    #[serde(skip)]
    pub route: String,
}

impl Version {
    /// Whether the route without a number leads to this one.
    pub fn is_newest(&self) -> bool {
        self.all.last() == Some(&self.number)
    }

    /// The route of the newest version: `v2/portrait`.
    pub fn newest(&self) -> String {
        path(self.all.last().copied().unwrap_or(self.number), &self.route)
    }
}

impl Place {
    /// Every route that leads here; the one that never leads elsewhere comes last.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        let newest = self.version.as_ref().filter(|version| version.is_newest());
        newest.map(|version| version.route.as_str()).into_iter().chain([self.path.as_str()])
    }
}

/// The route of one version.
pub fn path(number: u32, route: &str) -> String {
    format!("v{number}/{route}")
}

/// The path of a file without its ending and without the number of a version.
pub fn unnumbered(stem: &str) -> &str {
    number(stem).map_or(stem, |(route, _)| route)
}

/// The place of each workflow, by the path of its file without the ending. Those that [`check`](super::check) refuses
/// for their number have none.
pub fn places<'s>(stems: impl IntoIterator<Item = &'s str>) -> BTreeMap<&'s str, Place> {
    assign(stems).0
}

/// A workflow among its versions: its number, and the path of its file without the ending.
type Numbered<'s> = BTreeMap<u32, &'s str>;

pub(super) fn assign<'s>(
    stems: impl IntoIterator<Item = &'s str>,
) -> (BTreeMap<&'s str, Place>, Vec<(String, Diagnostic)>) {
    let mut found = Vec::new();
    let mut plain: Vec<&str> = Vec::new();
    let mut versions: BTreeMap<&str, Numbered<'_>> = BTreeMap::new();
    for stem in stems {
        match number(stem) {
            None => plain.push(stem),
            Some((route, Some(number))) => {
                versions.entry(route).or_default().insert(number, stem);
            }
            Some((route, None)) => found.push((format!("{stem}.json"), odd_number(stem, route))),
        }
    }
    let mut places = BTreeMap::new();
    for stem in plain {
        let Some(numbers) = versions.get_mut(stem) else {
            places.insert(stem, Place { path: stem.to_owned(), version: None });
            continue;
        };
        if let Some(other) = numbers.insert(1, stem) {
            found.push((format!("{other}.json"), both_first(stem, other, numbers)));
        }
    }
    for (route, numbers) in versions {
        let all: Vec<u32> = numbers.keys().copied().collect();
        places.extend(numbers.into_iter().map(|(number, stem)| {
            let version = Version { number, all: all.clone(), route: route.to_owned() };
            (stem, Place { path: path(number, route), version: Some(version) })
        }));
    }
    (places, found)
}

/// `portrait@2` is `portrait` with the number 2; nothing where there is no `@` in the name. Numbers are written in one
/// way only.
fn number(stem: &str) -> Option<(&str, Option<u32>)> {
    let name = stem.rfind('/').map_or(0, |slash| slash + 1);
    let at = name + stem.get(name..)?.find('@')?;
    let (route, digits) = (stem.get(..at)?, stem.get(at + 1..)?);
    let is_plain = !digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = digits.parse().ok().filter(|number| is_plain && *number <= MOST);
    Some((route, number))
}

fn odd_number(stem: &str, route: &str) -> Diagnostic {
    let (stem, route) = (printable(stem), printable(route));
    Diagnostic::error(
        "odd-version",
        format!("`{stem}`: after `@` comes the number of a version, from 1 to {MOST}"),
    )
    .help(format!("rename the file to `{route}@2.json`, or without `@`"))
}

fn both_first(stem: &str, other: &str, numbers: &Numbered<'_>) -> Diagnostic {
    let (shown, other) = (printable(stem), printable(other));
    let next = numbers.keys().last().map_or(2, |last| last + 1);
    Diagnostic::error(
        "two-versions",
        format!("`{shown}.json` and `{other}.json` are both version 1 of `{shown}`"),
    )
    .help(format!(
        "a file without a number is the first version: delete one of them, or rename the newer to `{shown}@{next}.json`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(stems: &[&str]) -> Vec<String> {
        let places = places(stems.iter().copied());
        let shown = |(stem, place): (&&str, &Place)| {
            format!("{stem}: {}", place.routes().collect::<Vec<_>>().join(" "))
        };
        places.iter().map(shown).collect()
    }

    #[test]
    fn versions_are_beside_each_other_and_the_newest_has_the_plain_route() {
        assert_eq!(routes(&["a", "b/c"]), ["a: a", "b/c: b/c"]);
        assert_eq!(routes(&["a@2", "a"]), ["a: v1/a", "a@2: a v2/a"]);
        assert_eq!(
            routes(&["q/edit@10", "q/edit@9", "q/edit"]),
            ["q/edit: v1/q/edit", "q/edit@10: q/edit v10/q/edit", "q/edit@9: v9/q/edit"]
        );
        assert_eq!(routes(&["a@3"]), ["a@3: a v3/a"]);
    }

    #[test]
    fn a_number_is_written_in_one_way() {
        for stem in ["a@", "a@0", "a@02", "a@+2", "a@x", "a@2@3", "a@10000", "a@99999999999", "a@²"] {
            let (places, found) = assign([stem]);
            assert!(places.is_empty(), "{stem}");
            assert_eq!(found[0].1.code, "odd-version", "{stem}");
        }
        assert_eq!(number("x@y/z"), None);
    }

    #[test]
    fn two_first_versions_are_both_named() {
        let (_, found) = assign(["a", "a@1", "a@4"]);
        let [(file, found)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(file, "a@1.json");
        assert_eq!(found.message, "`a.json` and `a@1.json` are both version 1 of `a`");
        assert!(found.help.as_deref().unwrap().contains("`a@5.json`"), "{found:?}");
    }
}
