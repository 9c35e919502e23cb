//! What is printed of node packs.

use std::fmt::Write as _;

use comfyport_needs::{LockedPack, same_repository};
use comfyport_packs::{Classes, Installed, Origin, Outcome, Plan};
use serde_json::{Value, json};

use super::needed::{Loose, Needed};
use crate::{
    cli::Format,
    commands::{remote::printable, table::table},
};

/// What was to be done, and what came of it.
pub(super) struct Report<'r> {
    pub(super) site: String,
    pub(super) plan: &'r Plan,
    pub(super) outcomes: Option<&'r [Outcome]>,
    pub(super) not_installed: &'r [Loose],
    /// The lock that was written.
    pub(super) lock: Option<String>,
    /// What is said of a plan alone.
    pub(super) hint: Option<&'static str>,
}

impl Report<'_> {
    /// Whether all is as it was to be, or would be.
    pub(super) fn is_fine(&self) -> bool {
        let good = match self.outcomes {
            Some(outcomes) => outcomes.iter().all(Outcome::is_good),
            None => self.plan.conflicts().next().is_none(),
        };
        good && self.not_installed.is_empty()
    }

    pub(super) fn print(&self, format: Format) -> String {
        if format == Format::Json {
            let report = json!({
                "site": self.site, "applied": self.outcomes.is_some(), "plan": self.plan.steps,
                "outcomes": self.outcomes, "not_installed": self.not_installed, "lock": self.lock,
            });
            return format!("{report:#}\n");
        }
        let mut text = match self.outcomes {
            Some(outcomes) => outcomes.iter().map(|outcome| format!("{outcome}\n")).collect(),
            None => self.plan.to_string(),
        };
        for loose in self.not_installed {
            let Loose { pack, workflows, why, help, .. } = loose;
            let users = workflows.join(", ");
            let _ = writeln!(text, "not pinned   {pack} of {users}: {why}\n             help: {help}");
        }
        // Managers and logs of ComfyUI are quoted.
        let mut text = harmless(&text);
        if let Some(lock) = &self.lock {
            let _ = writeln!(text, "{lock}: pinned anew");
        }
        if text.is_empty() {
            text.push_str("no workflow needs a node pack\n");
        } else if let Some(hint) = self.hint.filter(|_| !self.plan.is_idle()) {
            let _ = writeln!(text, "{hint}");
        }
        text
    }
}

/// Text of several lines without what terminals obey.
pub(super) fn harmless(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            printable(line) + end
        })
        .collect()
}

/// A pack that is there, needed, or both.
struct Row<'r> {
    installed: Option<&'r Installed>,
    locked: Option<&'r LockedPack>,
    state: &'static str,
}

/// What is there, and what is missing.
pub(super) fn list(
    installed: &[Installed],
    needed: &Needed,
    classes: Option<&Classes>,
    format: Format,
) -> String {
    let mut rows: Vec<Row<'_>> = installed
        .iter()
        .map(|one| {
            let locked = needed.packs.iter().find(|locked| is_it(one, locked));
            Row { installed: Some(one), locked, state: state(one, locked, classes) }
        })
        .collect();
    for locked in &needed.packs {
        if !installed.iter().any(|one| is_it(one, locked)) {
            rows.push(Row { installed: None, locked: Some(locked), state: "missing" });
        }
    }
    match format {
        Format::Json => {
            let all: Vec<Value> = rows.iter().map(Row::described).collect();
            format!("{:#}\n", json!({"packs": all, "not_pinned": needed.loose}))
        }
        Format::Text => {
            let mut cells: Vec<[String; 5]> = rows.iter().map(Row::cells).collect();
            cells.extend(needed.loose.iter().map(|loose| {
                let nothing = String::new;
                [
                    loose.pack.clone(),
                    nothing(),
                    nothing(),
                    "not pinned".to_owned(),
                    loose.workflows.join(", "),
                ]
            }));
            let cells: Vec<_> = cells.into_iter().map(|row| row.map(|cell| printable(&cell))).collect();
            table(["PACK", "AT", "LOCKED AT", "STATE", "NEEDED BY"], &cells)
        }
    }
}

impl Row<'_> {
    fn name(&self) -> String {
        let there = self.installed.map(|one| one.folder.clone());
        there.or_else(|| self.locked.map(|locked| locked.id.clone())).unwrap_or_default()
    }

    fn workflows(&self) -> &[String] {
        self.locked.map(|locked| locked.workflows.as_slice()).unwrap_or_default()
    }

    fn cells(&self) -> [String; 5] {
        let at = self.installed.map(Installed::at).unwrap_or_default();
        let pin = self.locked.map(pin).unwrap_or_default();
        [self.name(), at, pin, self.state.to_owned(), self.workflows().join(", ")]
    }

    fn described(&self) -> Value {
        json!({
            "pack": self.name(), "state": self.state, "installed": self.installed, "locked": self.locked,
            "workflows": self.workflows(),
        })
    }
}

/// What a pack is locked at, as short as what it is at.
fn pin(locked: &LockedPack) -> String {
    let commit = locked.commit.as_ref().map(|commit| commit.chars().take(12).collect());
    commit.or_else(|| locked.version.clone()).unwrap_or_default()
}

fn is_it(installed: &Installed, locked: &LockedPack) -> bool {
    if let (Origin::Git { remote: Some(remote), .. }, Some(repository)) =
        (&installed.origin, &locked.repository)
        && same_repository(remote, repository)
    {
        return true;
    }
    installed.id().is_some_and(|id| id.eq_ignore_ascii_case(&locked.id))
}

fn state(installed: &Installed, locked: Option<&LockedPack>, classes: Option<&Classes>) -> &'static str {
    let is_at_pin = |locked: &LockedPack| match &installed.origin {
        Origin::Git { commit: Some(commit), .. } => {
            locked.commit.as_ref().is_some_and(|pin| commit.starts_with(&pin.to_ascii_lowercase()))
        }
        Origin::Registry { version, .. } => locked.version.as_ref() == Some(version),
        _ => false,
    };
    match (locked, classes) {
        _ if !installed.enabled => "off",
        (Some(locked), _) if !is_at_pin(locked) => "other version",
        // Some packs bring nothing but scripts for the editor: it matters where classes are needed.
        (Some(locked), Some(classes)) if locked.classes.iter().any(|class| !classes.has(class)) => {
            "not loaded"
        }
        (_, Some(classes)) if classes.any_of(&installed.folder) => "loaded",
        _ => "present",
    }
}
