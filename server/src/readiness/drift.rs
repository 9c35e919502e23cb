//! How an engine's node definitions changed since they were first seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::engine::Capabilities;

/// Names that are told of each kind; the rest is told by its number.
const MOST_TOLD: usize = 100;

/// How an engine's node definitions changed since they were first seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Classes that came, the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Classes that went, the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// Classes whose required inputs changed, the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<ChangedClass>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_none_left")]
    pub more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_none_left(more: &usize) -> bool {
    *more == 0
}

/// A class whose required inputs changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedClass {
    /// The class.
    pub class_type: String,
    /// Inputs that it requires now and did not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Inputs that it does not require any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// Inputs whose type is another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retyped: Vec<String>,
}

/// What was seen first, and how that changed.
#[derive(Debug, Default)]
pub(super) struct Watched(Mutex<Option<(Capabilities, Drift)>>);

impl Watched {
    /// Compares with what was seen first; what is new is logged once.
    pub(super) fn observe(&self, engine: &str, now: &Capabilities) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((first, drift)) = &mut *watched else {
            *watched = Some((now.clone(), Drift::default()));
            return;
        };
        let found = Drift::between(first, now);
        if found != *drift {
            let (added, removed) = (found.added.join(", "), found.removed.join(", "));
            let changed: Vec<&str> = found.changed.iter().map(|class| class.class_type.as_str()).collect();
            let changed = changed.join(", ");
            tracing::warn!(engine, added, removed, changed, "the engine's node definitions changed");
            *drift = found;
        }
    }

    pub(super) fn drift(&self) -> Drift {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.as_ref().map(|(_, drift)| drift.clone()).unwrap_or_default()
    }
}

impl Drift {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn between(first: &Capabilities, now: &Capabilities) -> Self {
        let mut drift = Self {
            added: now.classes.difference(&first.classes).cloned().collect(),
            removed: first.classes.difference(&now.classes).cloned().collect(),
            changed: Vec::new(),
            more: 0,
        };
        let none = BTreeMap::new();
        for class in first.classes.intersection(&now.classes) {
            let before = first.required.get(class).unwrap_or(&none);
            let after = now.required.get(class).unwrap_or(&none);
            if before != after {
                drift.changed.push(ChangedClass::between(class, before, after));
            }
        }
        let Self { added, removed, changed, more } = &mut drift;
        *more = [added.len(), removed.len(), changed.len()]
            .map(|count| count.saturating_sub(MOST_TOLD))
            .iter()
            .sum();
        added.truncate(MOST_TOLD);
        removed.truncate(MOST_TOLD);
        changed.truncate(MOST_TOLD);
        drift
    }
}

impl ChangedClass {
    fn between(class: &str, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Self {
        let names = |of: &BTreeMap<String, String>| of.keys().cloned().collect::<BTreeSet<_>>();
        let (old, new) = (names(before), names(after));
        Self {
            class_type: class.to_owned(),
            added: new.difference(&old).cloned().collect(),
            removed: old.difference(&new).cloned().collect(),
            retyped: old
                .intersection(&new)
                .filter(|name| before.get(*name) != after.get(*name))
                .cloned()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn capabilities(classes: &[(&str, &[(&str, &str)])]) -> Capabilities {
        let required = classes.iter().map(|(class, inputs)| {
            let inputs = inputs.iter().map(|(name, ty)| ((*name).to_owned(), (*ty).to_owned()));
            ((*class).to_owned(), inputs.collect())
        });
        let required: BTreeMap<_, _> = required.collect();
        Capabilities {
            output_classes: Arc::default(),
            classes: Arc::new(required.keys().cloned().collect()),
            required: Arc::new(required),
            uploads: Arc::default(),
            modules: Arc::default(),
        }
    }

    #[test]
    fn drift_is_measured_against_what_was_seen_first() {
        let watched = Watched::default();
        let first = capabilities(&[("A", &[("x", "INT"), ("y", "INT")]), ("B", &[])]);
        watched.observe("test", &first);
        assert!(watched.drift().is_empty());
        watched.observe("test", &capabilities(&[("A", &[("x", "FLOAT"), ("z", "INT")]), ("C", &[])]));
        let drift = serde_json::to_value(watched.drift()).unwrap();
        assert_eq!(
            drift,
            serde_json::json!({"added": ["C"], "removed": ["B"], "changed":
                [{"class_type": "A", "added": ["z"], "removed": ["y"], "retyped": ["x"]}]})
        );
        watched.observe("test", &first);
        assert!(watched.drift().is_empty());
    }
}
