//! A step while it is carried out.

use std::path::PathBuf;

use crate::{
    change::Change,
    outcome::{Became, Outcome},
    plan::{Action, Step},
    python::PackageChange,
};

/// A step while it is carried out.
#[derive(Debug)]
pub(super) struct Item<'p> {
    pub(super) step: &'p Step,
    /// What is to be done, once it is prepared.
    pub(super) change: Option<Change>,
    /// Whether that is done.
    pub(super) applied: bool,
    /// The end of it, as soon as that is known.
    pub(super) became: Option<Became>,
    /// Whether ComfyUI had classes of it before.
    pub(super) was_loaded: bool,
    pub(super) proved: bool,
    pub(super) notes: Vec<String>,
    pub(super) requirements: Vec<String>,
    pub(super) packages: Vec<PackageChange>,
}

impl<'p> Item<'p> {
    pub(super) fn new(step: &'p Step) -> Self {
        let became = match &step.action {
            Action::Keep { .. } => Some(Became::Kept),
            Action::Conflict(why) => Some(Became::Conflict(why.clone())),
            Action::Install(_) | Action::Update { .. } | Action::Remove { .. } => None,
        };
        Self {
            step,
            change: None,
            applied: false,
            became,
            was_loaded: false,
            proved: false,
            notes: Vec::new(),
            requirements: Vec::new(),
            packages: Vec::new(),
        }
    }

    /// Whether it is not decided yet what becomes of it.
    pub(super) fn is_open(&self) -> bool {
        self.became.is_none()
    }

    /// Where it is, or is going to be.
    pub(super) fn place(&self) -> Option<PathBuf> {
        match self.change.as_ref()? {
            Change::Swap { place, .. } => Some(place.clone()),
            Change::CheckOut { clone, .. } => Some(clone.clone()),
        }
    }

    pub(super) fn is_removal(&self) -> bool {
        matches!(self.step.action, Action::Remove { .. })
    }

    pub(super) fn into_outcome(self) -> Outcome {
        let became = self.became.unwrap_or(match &self.step.action {
            Action::Install(_) => Became::Installed,
            Action::Update { .. } => Became::Updated,
            Action::Remove { .. } => Became::Removed,
            Action::Keep { .. } => Became::Kept,
            Action::Conflict(why) => Became::Conflict(why.clone()),
        });
        Outcome {
            pack: self.step.pack.clone(),
            folder: self.step.folder.clone(),
            became,
            proved: self.proved,
            requirements: self.requirements,
            packages: self.packages,
            notes: self.notes,
        }
    }
}
