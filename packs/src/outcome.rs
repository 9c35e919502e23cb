//! What became of packs.

use std::fmt;

use serde::Serialize;

use crate::python::PackageChange;

/// What became of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The pack, as the lock calls it.
    pub pack: String,
    /// Its folder below `custom_nodes`.
    pub folder: String,
    /// What became of it.
    pub became: Became,
    /// Whether a ComfyUI that was started since said that it is so.
    pub proved: bool,
    /// What it asks of Python, line by line, for the lock.
    pub requirements: Vec<String>,
    /// Packages of Python that changed for it.
    pub packages: Vec<PackageChange>,
    /// What people should know besides.
    pub notes: Vec<String>,
}

/// What became of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It was there as it should be.
    Kept,
    /// It is there now.
    Installed,
    /// It is there as it should be now.
    Updated,
    /// It is gone.
    Removed,
    /// Nothing was done, since somebody has to decide first.
    Conflict(String),
    /// It could not be done, and all is as before.
    Failed(String),
    /// It was done, ComfyUI could not live with it, and it was taken back.
    RolledBack(String),
    /// It is there and loaded, and has not all classes that were asked for. These are missing.
    Incomplete(Vec<String>),
}

impl Outcome {
    /// Whether it is as it was to be.
    pub fn is_good(&self) -> bool {
        matches!(self.became, Became::Kept | Became::Installed | Became::Updated | Became::Removed)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pack, became, proved, .. } = self;
        let proof = if *proved { "" } else { ", not proved by ComfyUI" };
        match became {
            Became::Kept => write!(to, "kept         {pack}{proof}"),
            Became::Installed => write!(to, "installed    {pack}{proof}"),
            Became::Updated => write!(to, "updated      {pack}{proof}"),
            Became::Removed => write!(to, "removed      {pack}{proof}"),
            Became::Conflict(why) => write!(to, "conflict     {pack}: {why}"),
            Became::Failed(why) => write!(to, "failed       {pack}: {why}"),
            Became::RolledBack(why) => write!(to, "rolled back  {pack}: {why}"),
            Became::Incomplete(missing) => {
                let missing = missing.join(", ");
                write!(
                    to,
                    "incomplete   {pack}: it is loaded, and has no {missing}; is it the right version?"
                )
            }
        }?;
        self.notes.iter().try_for_each(|note| write!(to, "\n             {note}"))
    }
}
