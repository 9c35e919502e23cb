//! The text of a sidecar file, changed where something was taken and nowhere else.

use similar::TextDiff;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::proposal::Change;

/// The text that is there is no sidecar file.
#[derive(Debug, thiserror::Error)]
#[error("the sidecar file cannot be read: {0}")]
pub struct BadSidecar(#[from] toml_edit::TomlError);

/// A sidecar file before and after.
#[derive(Debug, Clone)]
pub struct Edit {
    before: String,
    after: String,
    /// What was left out: the author had decided it.
    pub decided: usize,
}

impl Edit {
    /// Makes changes; what the file says already stays.
    pub fn of(before: Option<&str>, changes: &[Change]) -> Result<Self, BadSidecar> {
        let before = before.unwrap_or_default();
        let mut document: DocumentMut = before.parse()?;
        let mut decided = 0;
        for change in changes {
            let taken = match change {
                Change::Title(text) => set(document.as_table_mut(), "title", text.as_str()),
                Change::Description(text) => set(document.as_table_mut(), "description", text.as_str()),
                Change::Name { entry, name } => {
                    with(&mut document, entry, |table| set(table, "name", name.as_str()))
                }
                Change::Describe { entry, description } => {
                    with(&mut document, entry, |table| set(table, "description", description.as_str()))
                }
                Change::Expose { entry } => with(&mut document, entry, |table| {
                    !table.contains_key("hide") && set(table, "expose", "primary")
                }),
            };
            decided += usize::from(!taken);
        }
        Ok(Self { before: before.to_owned(), after: document.to_string(), decided })
    }

    /// The whole text.
    pub fn after(&self) -> &str {
        &self.after
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.before == self.after
    }

    /// What changes, as `diff -u` writes it.
    pub fn difference(&self) -> String {
        TextDiff::from_lines(&self.before, &self.after).unified_diff().context_radius(2).to_string()
    }
}

/// Whether it was not there yet.
fn set(table: &mut dyn toml_edit::TableLike, key: &str, text: &str) -> bool {
    let is_new = !table.contains_key(key);
    if is_new {
        table.insert(key, value(text));
    }
    is_new
}

/// Does something with the entry of a parameter, which is made if it is not there.
fn with(
    document: &mut DocumentMut,
    entry: &str,
    act: impl FnOnce(&mut dyn toml_edit::TableLike) -> bool,
) -> bool {
    let params = document.entry("params").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let Some(params) = params.as_table_like_mut() else { return false };
    if !params.contains_key(entry) {
        params.insert(entry, Item::Table(Table::new()));
    }
    let Some(table) = params.get_mut(entry).and_then(Item::as_table_like_mut) else { return false };
    act(table)
}
