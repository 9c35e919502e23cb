//! Which versions of something a pack runs on, as its author wrote it.

use std::{fmt, str::FromStr};

use pep440_rs::{Version, VersionSpecifiers};

/// The longest text that is looked at, in bytes.
const LONGEST: usize = 200;

/// Versions of Python or ComfyUI, in the form of Python's packages: `>=3.10`, `>=0.3.50,<0.8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange(VersionSpecifiers);

impl VersionRange {
    /// Reads one; nothing if it cannot be read, or allows everything.
    pub fn read(text: &str) -> Option<Self> {
        let text = Some(text).filter(|text| text.len() <= LONGEST)?;
        let range = VersionSpecifiers::from_str(text).ok()?;
        (!range.is_empty()).then_some(Self(range))
    }

    /// Whether a version such as `0.3.64`, `v0.3.64` or `3.12` is among them; nothing if that is no version.
    pub fn has(&self, version: &str) -> Option<bool> {
        let version = Version::from_str(version.trim_start_matches('v')).ok()?;
        // What is built between two releases has what the former had, and is no preview of the latter.
        Some(self.0.contains(&version.only_release()))
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart_by_their_numbers() {
        for (range, version, expected) in [
            (">=3.10", "3.9.18", Some(false)),
            (">=3.10", "3.12", Some(true)),
            (">=0.3.50,<0.8", "v0.3.64", Some(true)),
            (">=0.3.50,<0.8", "0.8.0", Some(false)),
            (">=0.3.60", "0.3.64-12-g1234abc", None),
            (">=0.3.60", "0.3.64+cu128", Some(true)),
            (">=0.3.60", "a125cd84", None),
            ("~=3.11", "3.13.1", Some(true)),
            ("!=3.11.*", "3.11.7", Some(false)),
        ] {
            let read = VersionRange::read(range).unwrap();
            assert_eq!(read.has(version), expected, "{version} in {range}");
        }
        for nothing in ["", " ", "0.34.0", ">=", "three", ">=1.0\n[model]", &format!(">={}", "1".repeat(300))]
        {
            assert_eq!(VersionRange::read(nothing), None, "{nothing}");
        }
    }
}
