//! Differences between two public APIs.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use super::{Lock, LockedInput, LockedOutput, LockedParam};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What kind of difference.
    pub kind: ChangeKind,
    /// Whether callers of the former API may break.
    pub breaking: bool,
    /// The public field or output: `steps`, `advanced.scheduler`, `outputs.image`.
    pub name: String,
    /// What differs, in a few words.
    pub what: String,
}

/// Kinds of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has another name.
    Renamed,
    /// It takes fewer values.
    Narrowed,
    /// It takes more values.
    Widened,
    /// It is of another type, or means something else.
    Retyped,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Renamed => "renamed",
            Self::Narrowed => "narrowed",
            Self::Widened => "widened",
            Self::Retyped => "retyped",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = if self.breaking { "breaking" } else { "compatible" };
        write!(formatter, "{}: `{}` {} ({class})", self.kind, crate::printable(&self.name), self.what)
    }
}

/// What differs, in the order of the former API; additions last.
pub(super) fn between(former: &Lock, newer: &Lock) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut met = BTreeSet::new();
    for old in former.params.iter().filter(|param| param.is_public()) {
        let same = |new: &&LockedParam| new.is_public() && new.shares_input(old);
        // A binding may be shared by more than one only if it was split; the name decides then.
        let found =
            newer.params.iter().filter(same).min_by_key(|new| (new.name != old.name, new.name.clone()));
        match found {
            Some(new) => {
                met.insert(&new.name);
                compare(old, new, &mut changes);
            }
            None => changes.push(change(ChangeKind::Removed, true, old.shown(), "is gone")),
        }
    }
    for new in newer.params.iter().filter(|param| param.is_public() && !met.contains(&param.name)) {
        let what = if new.required { "is new and required" } else { "is new and optional" };
        changes.push(change(ChangeKind::Added, new.required, new.shown(), what));
    }
    outputs(former, newer, &mut changes);
    changes
}

fn outputs(former: &Lock, newer: &Lock, changes: &mut Vec<Change>) {
    let shown = |output: &LockedOutput| format!("outputs.{}", output.name);
    for old in &former.outputs {
        match newer.outputs.iter().find(|new| new.node.id == old.node.id) {
            None => changes.push(change(ChangeKind::Removed, true, shown(old), "is gone")),
            Some(new) => {
                if new.name != old.name {
                    let what = format!("is called `{}` now", new.name);
                    changes.push(change(ChangeKind::Renamed, true, shown(old), what));
                }
                if new.kind != old.kind {
                    let what = format!("was {} and is {}", old.kind, new.kind);
                    changes.push(change(ChangeKind::Retyped, true, shown(new), what));
                }
            }
        }
    }
    let known: BTreeSet<&String> = former.outputs.iter().map(|output| &output.node.id).collect();
    for new in newer.outputs.iter().filter(|output| !known.contains(&output.node.id)) {
        changes.push(change(ChangeKind::Added, false, shown(new), "is new"));
    }
}

fn compare(old: &LockedParam, new: &LockedParam, changes: &mut Vec<Change>) {
    if old.shown() != new.shown() {
        let what = format!("is called `{}` now", new.shown());
        changes.push(change(ChangeKind::Renamed, true, old.shown(), what));
    }
    if old.ty != new.ty {
        let what = format!("was {} and is {}", old.ty, new.ty);
        changes.push(change(ChangeKind::Retyped, true, new.shown(), what));
        return;
    }
    if let (Some(before), Some(now)) = (&old.role, &new.role)
        && before != now
    {
        let what = format!("meant {before} and means {now}");
        changes.push(change(ChangeKind::Retyped, true, new.shown(), what));
    }
    match (old.required, new.required) {
        (false, true) => changes.push(change(ChangeKind::Narrowed, true, new.shown(), "is required now")),
        (true, false) => changes.push(change(ChangeKind::Widened, false, new.shown(), "may be left out now")),
        _ => {}
    }
    bound("least value", old.min.as_ref(), new.min.as_ref(), |old, new| new > old, new, changes);
    bound("greatest value", old.max.as_ref(), new.max.as_ref(), |old, new| new < old, new, changes);
    options(old, new, changes);
}

fn bound(
    what: &str,
    old: Option<&toml::Value>,
    new: Option<&toml::Value>,
    is_narrower: impl Fn(f64, f64) -> bool,
    param: &LockedParam,
    changes: &mut Vec<Change>,
) {
    if old == new {
        return;
    }
    let shown = |value: Option<&toml::Value>| value.map_or("none".to_owned(), ToString::to_string);
    let narrower = match (old, new) {
        (Some(old), Some(new)) => is_narrower(number(old), number(new)),
        (old, _) => old.is_none(),
    };
    let kind = if narrower { ChangeKind::Narrowed } else { ChangeKind::Widened };
    let what = format!("has another {what}: {}, was {}", shown(new), shown(old));
    changes.push(change(kind, narrower, param.shown(), what));
}

fn number(value: &toml::Value) -> f64 {
    match value {
        toml::Value::Integer(value) => value.to_string().parse().unwrap_or(f64::NAN),
        toml::Value::Float(value) => *value,
        toml::Value::String(text) => text.parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}

fn options(old: &LockedParam, new: &LockedParam, changes: &mut Vec<Change>) {
    let gone: Vec<String> = missing(&old.options, &new.options);
    let come: Vec<String> = missing(&new.options, &old.options);
    // No list at all takes everything.
    let (narrowed, widened) = match (old.options.is_empty(), new.options.is_empty()) {
        (true, false) => (true, false),
        (false, true) => (false, true),
        _ => (!gone.is_empty(), !come.is_empty()),
    };
    if narrowed {
        let what = if gone.is_empty() {
            "takes only listed values now".to_owned()
        } else {
            listed("no longer takes", &gone)
        };
        changes.push(change(ChangeKind::Narrowed, true, new.shown(), what));
    }
    if widened {
        let what =
            if come.is_empty() { "takes any value now".to_owned() } else { listed("takes also", &come) };
        changes.push(change(ChangeKind::Widened, false, new.shown(), what));
    }
}

fn missing(of: &[toml::Value], in_: &[toml::Value]) -> Vec<String> {
    of.iter().filter(|one| !in_.contains(one)).map(ToString::to_string).collect()
}

fn listed(what: &str, values: &[String]) -> String {
    const SHOWN: usize = 5;
    let more =
        if values.len() > SHOWN { format!(" and {} more", values.len() - SHOWN) } else { String::new() };
    let first = &values[..values.len().min(SHOWN)];
    crate::printable(&format!("{what} {}{more}", first.join(", ")))
}

fn change(kind: ChangeKind, breaking: bool, name: String, what: impl Into<String>) -> Change {
    Change { kind, breaking, name, what: what.into() }
}

impl LockedParam {
    pub(super) fn is_public(&self) -> bool {
        matches!(self.tier.as_str(), "primary" | "advanced")
    }

    /// As callers write it.
    fn shown(&self) -> String {
        if self.tier == "advanced" { format!("advanced.{}", self.name) } else { self.name.clone() }
    }

    fn shares_input(&self, other: &Self) -> bool {
        let place = |one: &LockedInput| (one.node.id.clone(), one.input.clone());
        self.derived == other.derived
            && self.bindings.iter().any(|one| other.bindings.iter().any(|two| place(one) == place(two)))
    }
}
