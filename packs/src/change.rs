//! What is done to `custom_nodes`, each of it such that it can be taken back.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::git::{Git, GitError};

/// A change of one pack.
#[derive(Debug)]
pub(crate) enum Change {
    /// Something gets into a place, and what was there gets out; either may be nothing.
    Swap {
        /// The place.
        place: PathBuf,
        /// Where the new waits.
        new: Option<PathBuf>,
        /// Where the old is put.
        old: Option<PathBuf>,
    },
    /// Another commit of a clone.
    CheckOut {
        /// The clone.
        clone: PathBuf,
        /// What was checked out.
        before: String,
        /// What is to be.
        after: String,
    },
}

/// A change that was not made, or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A folder cannot be moved.
    #[error("{} cannot be moved to {}: {error}", from.display(), to.display())]
    Move {
        /// From here.
        from: PathBuf,
        /// To there.
        to: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Something is there by now.
    #[error("{} is there by now", .0.display())]
    Taken(PathBuf),
    /// A commit cannot be checked out.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Change {
    /// Makes it.
    pub(crate) async fn apply(&self, git: &Git) -> Result<(), ChangeError> {
        match self {
            Self::Swap { place, new, old } => swap(place, old.as_deref(), new.as_deref()),
            Self::CheckOut { clone, before, after } => {
                let done = git.check_out(clone, after).await;
                if done.is_err() {
                    git.check_out(clone, before).await?;
                }
                Ok(done?)
            }
        }
    }

    /// Takes it back.
    pub(crate) async fn undo(&self, git: &Git) -> Result<(), ChangeError> {
        match self {
            Self::Swap { place, new, old } => swap(place, new.as_deref(), old.as_deref()),
            Self::CheckOut { clone, before, .. } => Ok(git.check_out(clone, before).await?),
        }
    }

    /// What is in the way of nobody any more, once it was taken back.
    pub(crate) fn left_over(&self) -> Option<&Path> {
        match self {
            Self::Swap { new, .. } => new.as_deref(),
            Self::CheckOut { .. } => None,
        }
    }
}

/// Moves what is in a place to `out`, and what is in `from` into it. At no moment is the place empty, where the file system
/// can exchange two folders.
fn swap(place: &Path, out: Option<&Path>, from: Option<&Path>) -> Result<(), ChangeError> {
    if let (Some(out), Some(from)) = (out, from)
        && out.symlink_metadata().is_err()
        && exchange(from, place).is_ok()
    {
        // There is what was in the place now.
        let moved = move_to(from, out);
        if moved.is_err() {
            exchange(from, place).map_err(|error| cannot_move(from, place, error))?;
        }
        return moved;
    }
    if let Some(out) = out {
        move_to(place, out)?;
    }
    let Some(from) = from else { return Ok(()) };
    let moved = move_to(from, place);
    if let (Err(_), Some(out)) = (&moved, out) {
        move_to(out, place)?;
    }
    moved
}

fn move_to(from: &Path, to: &Path) -> Result<(), ChangeError> {
    // An empty folder would be replaced without a word.
    if to.symlink_metadata().is_ok() {
        return Err(ChangeError::Taken(to.to_owned()));
    }
    fs::rename(from, to).map_err(|error| cannot_move(from, to, error))
}

fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

fn cannot_move(from: &Path, to: &Path, error: io::Error) -> ChangeError {
    ChangeError::Move { from: from.to_owned(), to: to.to_owned(), error }
}

/// Brings files that a version of a pack did not bring along, such as settings and weights that it fetched, into another
/// version of it, unless that has them. Files of the same content are not copied, but linked.
pub(crate) fn take_along(old: &Path, tracked: &[&str], new: &Path) -> io::Result<usize> {
    let mut folders = vec![PathBuf::new()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(old.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() && entry.file_name() != "__pycache__" {
                folders.push(path);
                continue;
            }
            let name = path.to_string_lossy();
            if !kind.is_file() || name == ".tracking" || tracked.contains(&&*name) {
                continue;
            }
            let to = new.join(&path);
            if to.symlink_metadata().is_ok() {
                continue;
            }
            if let Some(parent) = to.parent()
                && fs::create_dir_all(parent).is_err()
            {
                // What was a folder is a file now.
                continue;
            }
            if fs::hard_link(entry.path(), &to).is_err() {
                fs::copy(entry.path(), &to)?;
            }
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_swapped_can_be_swapped_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let make = |name: &str| fs::create_dir_all(at(name).join(format!("is-{name}"))).unwrap();
        make("place");
        make("new");
        let change = Change::Swap { place: at("place"), new: Some(at("new")), old: Some(at("old")) };
        let git = Git::default();
        for _ in 0..2 {
            change.apply(&git).await.unwrap();
            assert!(at("place/is-new").is_dir() && at("old/is-place").is_dir() && !at("new").exists());
            change.undo(&git).await.unwrap();
            assert!(at("place/is-place").is_dir() && at("new/is-new").is_dir() && !at("old").exists());
        }
        fs::remove_dir_all(at("new")).unwrap();
        change.apply(&git).await.unwrap_err();
        assert!(at("place/is-place").is_dir(), "what was there stays, if nothing takes its place");
        make("old");
        assert!(matches!(change.apply(&git).await, Err(ChangeError::Taken(_))));
    }

    #[test]
    fn what_is_of_people_is_taken_along() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for file in
            ["code.py", "gone.py", ".tracking", "ckpt/weights.pt", "config.json", "__pycache__/x.pyc", "x/y"]
        {
            write(old.join(file), "old");
        }
        write(new.join("code.py"), "new");
        write(new.join("config.json"), "new");
        write(new.join("x"), "a file by now");
        assert_eq!(take_along(&old, &["code.py", "gone.py"], &new).unwrap(), 1);
        assert_eq!(fs::read_to_string(new.join("ckpt/weights.pt")).unwrap(), "old");
        assert_eq!(fs::read_to_string(new.join("config.json")).unwrap(), "new");
        assert!(!new.join("gone.py").exists() && !new.join("__pycache__").exists());
    }
}
