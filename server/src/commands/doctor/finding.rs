//! What was found, and what mends it.

use std::{fmt::Write as _, path::Path};

use serde::Serialize;
use serde_json::json;

use crate::cli::Format;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// All is well.
    Fine,
    /// Worth knowing.
    Note,
    /// Worth mending.
    Warning,
    /// Something does not work, or is open to strangers.
    Fault,
}

/// Something that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// An engine, or a folder.
    pub(super) subject: String,
    /// What was looked at.
    pub(super) check: &'static str,
    pub(super) what: String,
    /// The command or setting that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

/// All that was found of one subject.
#[derive(Debug)]
pub(super) struct Findings {
    subject: String,
    pub(super) all: Vec<Finding>,
}

impl Findings {
    pub(super) fn of(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), all: Vec::new() }
    }

    pub(super) fn fine(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(Level::Fine, check, what.into(), None);
    }

    pub(super) fn note(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(Level::Note, check, what.into(), None);
    }

    pub(super) fn warn(&mut self, check: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        self.add(Level::Warning, check, what.into(), Some(mend.into()));
    }

    pub(super) fn fault(&mut self, check: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        self.add(Level::Fault, check, what.into(), Some(mend.into()));
    }

    fn add(&mut self, level: Level, check: &'static str, what: String, mend: Option<String>) {
        self.all.push(Finding { level, subject: self.subject.clone(), check, what, mend });
    }
}

/// What is printed, and whether nothing is wrong.
pub(super) fn report(found: &[Finding], format: Format) -> (String, bool) {
    let count = |level: Level| found.iter().filter(|finding| finding.level == level).count();
    let (faults, warnings) = (count(Level::Fault), count(Level::Warning));
    if format == Format::Json {
        let report = json!({"faults": faults, "warnings": warnings, "findings": found});
        return (format!("{report:#}\n"), faults == 0);
    }
    let mut text = String::new();
    for Finding { level, subject, check, what, mend } in found {
        let level = match level {
            Level::Fine => "fine",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Fault => "FAULT",
        };
        let _ = writeln!(text, "{level:8} {subject}, {check}: {what}");
        if let Some(mend) = mend {
            let _ = writeln!(text, "         mend: {mend}");
        }
    }
    let _ = writeln!(text, "faults: {faults}, warnings: {warnings}");
    (text, faults == 0)
}

/// A path as a word of a shell.
pub(super) fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |one: char| one.is_ascii_alphanumeric() || "/._-+:@".contains(one);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_words_of_a_shell() {
        assert_eq!(word(Path::new("/srv/ComfyUI")), "/srv/ComfyUI");
        assert_eq!(word(Path::new("/srv/my ui's")), "'/srv/my ui'\\''s'");
    }

    #[test]
    fn warnings_are_no_faults() {
        let mut findings = Findings::of("box");
        findings.warn("disk", "little room", "more of it");
        assert!(report(&findings.all, Format::Text).1);
        findings.fault("engine", "away", "start it");
        let (text, fine) = report(&findings.all, Format::Text);
        assert!(!fine && text.ends_with("faults: 1, warnings: 1\n"), "{text}");
        assert!(text.contains("FAULT    box, engine: away\n         mend: start it\n"), "{text}");
    }
}
