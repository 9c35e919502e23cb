//! What packs are known to fetch by themselves when a node first runs (`data/hidden.toml`).

use std::sync::OnceLock;

use serde::Deserialize;

const TABLE: &str = include_str!("../data/hidden.toml");

/// Weights that nodes of a pack fetch at first use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// The pack's repository.
    pub repository: String,
    /// The classes that fetch them; all of the pack's if there are none.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The models folder, or `custom_nodes/…` where the pack keeps them to itself.
    pub folder: String,
    /// What is fetched.
    pub files: Vec<File>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its path below the folder.
    pub file: String,
    /// Where it comes from, if that is known.
    pub url: Option<String>,
}

impl File {
    /// Its name without folders.
    pub fn name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }
}

/// A table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTable(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    weights: Vec<Weights>,
}

/// The table that is built in.
pub fn known() -> &'static [Weights] {
    static KNOWN: OnceLock<Vec<Weights>> = OnceLock::new();
    // It is ours, and a test reads it.
    KNOWN.get_or_init(|| parse(TABLE).unwrap_or_default())
}

/// Reads a table of the same form, by which a project adds its own.
pub fn parse(text: &str) -> Result<Vec<Weights>, BadTable> {
    let written: Written = toml::from_str(text).map_err(|error| BadTable(error.to_string()))?;
    Ok(written.weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let weights = parse(TABLE).unwrap();
        assert!(weights.iter().all(|one| one.repository.starts_with("https://") && !one.files.is_empty()));
        let urls = weights.iter().flat_map(|one| &one.files).filter_map(|file| file.url.as_deref());
        assert!(
            urls.clone().count() > 5 && urls.clone().all(|url| url.starts_with("https://huggingface.co/"))
        );
    }
}
