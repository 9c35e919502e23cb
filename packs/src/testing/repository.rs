//! Repositories to install from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use comfyport_needs::LockedPack;
use tempfile::TempDir;

/// A repository whose commits are made by the test.
#[derive(Debug)]
pub struct Repository {
    /// What it lies in.
    pub folder: TempDir,
    name: String,
}

impl Repository {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap(), name: name.to_owned() };
        fs::create_dir(repository.path()).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Its address, for a git that may read files.
    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Runs git in it.
    pub fn git(&self, args: &[&str]) -> String {
        git(&self.path(), args)
    }

    /// Writes files and answers the commit of them.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let path = self.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// It, locked at a commit for these classes.
    pub fn at(&self, commit: &str, classes: &[&str]) -> LockedPack {
        locked(&self.name, &self.url(), commit, classes)
    }
}

/// A pack, locked at a commit.
pub fn locked(id: &str, url: &str, commit: &str, classes: &[&str]) -> LockedPack {
    LockedPack {
        id: id.to_owned(),
        repository: Some(url.to_owned()),
        commit: Some(commit.to_owned()),
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        ..LockedPack::default()
    }
}

/// Runs git, and answers what it says.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}
