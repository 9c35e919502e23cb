//! Clones at a commit, by the program `git`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    source::{Commit, Repository, Transports},
    tool::{Finished, Tool, ToolError},
};

/// Set before every command: nothing that lies in a clone is run, and nothing goes on in the background.
const SETTINGS: [&str; 6] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "advice.detachedHead=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
];

/// Variables that would make git work elsewhere than it is told to.
const ASTRAY: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_EXTERNAL_DIFF",
];

/// The program `git`, and what it may do.
#[derive(Debug, Clone)]
pub struct Git {
    /// Where it is. Default `git`, found by `PATH`.
    pub program: PathBuf,
    /// How repositories may be reached besides `https`.
    pub transports: Transports,
    /// How long one command may take. Default 10 min.
    pub limit: Duration,
}

impl Default for Git {
    fn default() -> Self {
        Self { program: "git".into(), transports: Transports::default(), limit: Duration::from_mins(10) }
    }
}

/// Why a clone is not what it was to be.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// git failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A commit is not in its repository.
    #[error("commit {commit} is not in {repository}: was it rewritten, or is it of a fork?")]
    NoCommit {
        /// The commit.
        commit: String,
        /// The repository.
        repository: String,
    },
    /// Something else was checked out.
    #[error("commit {asked} was asked for, and git checked out {got}")]
    Other {
        /// What was asked for.
        asked: String,
        /// What is there.
        got: String,
    },
    /// A clone was changed by hand.
    #[error(
        "it has local changes ({0}): commit them, or `git stash` them in its folder, or remove the pack first"
    )]
    Changed(String),
    /// An answer that is none.
    #[error("git says nothing about {0}")]
    Silent(String),
}

impl Git {
    /// Clones a repository into an empty folder and checks a commit out. It answers the whole commit.
    pub(crate) async fn clone_at(
        &self,
        repository: &Repository,
        commit: &Commit,
        into: &Path,
    ) -> Result<String, GitError> {
        self.run(into, &["init", "--quiet"]).await?;
        self.run(into, &["remote", "add", "--", "origin", repository.as_str()]).await?;
        let whole = self.obtain(into, repository, commit, true).await?;
        self.check_out(into, &whole).await?;
        Ok(whole)
    }

    /// Fetches a commit into a clone, unless it is there already. It answers the whole commit.
    pub(crate) async fn obtain(
        &self,
        clone: &Path,
        repository: &Repository,
        commit: &Commit,
        fresh: bool,
    ) -> Result<String, GitError> {
        if !fresh && let Some(whole) = self.resolve(clone, commit).await? {
            return Ok(whole);
        }
        if commit.is_whole() {
            let mut fetch = vec!["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
            // A clone that has its history keeps it.
            if fresh || clone.join(".git/shallow").is_file() {
                fetch.push("--depth=1");
            }
            fetch.extend(["--", repository.as_str(), commit.as_str()]);
            // Some servers give out what branches and tags point at alone.
            let one = self.command(clone, &fetch).finish().await?;
            if one.is_success()
                && let Some(whole) = self.resolve(clone, commit).await?
            {
                return Ok(whole);
            }
        }
        let mut all = vec!["fetch", "--quiet", "--tags", "--no-recurse-submodules"];
        if clone.join(".git/shallow").is_file() {
            all.push("--unshallow");
        }
        all.extend(["--", repository.as_str(), "+refs/heads/*:refs/remotes/origin/*"]);
        self.run(clone, &all).await?;
        let missing =
            || GitError::NoCommit { commit: commit.as_str().to_owned(), repository: repository.to_string() };
        self.resolve(clone, commit).await?.ok_or_else(missing)
    }

    /// Checks a commit and its submodules out, and looks whether it is there.
    pub(crate) async fn check_out(&self, clone: &Path, whole: &str) -> Result<(), GitError> {
        self.run(clone, &["checkout", "--quiet", "--detach", whole, "--"]).await?;
        if clone.join(".gitmodules").is_file() {
            self.run(clone, &["submodule", "sync", "--quiet", "--recursive"]).await?;
            self.run(clone, &["submodule", "update", "--quiet", "--init", "--recursive"]).await?;
        }
        let got = self.head(clone).await?;
        if got == whole { Ok(()) } else { Err(GitError::Other { asked: whole.to_owned(), got }) }
    }

    /// The commit that is checked out.
    pub(crate) async fn head(&self, clone: &Path) -> Result<String, GitError> {
        let said = self.run(clone, &["rev-parse", "--verify", "HEAD^{commit}"]).await?;
        Ok(said.stdout.trim().to_owned())
    }

    /// Fails if files that git knows were changed.
    pub(crate) async fn is_untouched(&self, clone: &Path) -> Result<(), GitError> {
        let said = self.run(clone, &["status", "--porcelain", "--untracked-files=no"]).await?;
        let changed: Vec<&str> = said.stdout.lines().filter_map(|line| line.get(3..)).take(3).collect();
        if changed.is_empty() { Ok(()) } else { Err(GitError::Changed(changed.join(", "))) }
    }

    /// The newest commit of the branch that a repository shows first.
    pub(crate) async fn newest(&self, repository: &Repository, within: &Path) -> Result<Commit, GitError> {
        let said = self.run(within, &["ls-remote", "--quiet", "--", repository.as_str(), "HEAD"]).await?;
        let first = said.stdout.split_whitespace().next().and_then(|commit| Commit::parse(commit).ok());
        first.ok_or_else(|| GitError::Silent(repository.to_string()))
    }

    /// A file of a commit, if that has it. `within` is an empty folder, or one that this was asked for before.
    pub(crate) async fn read(
        &self,
        repository: &Repository,
        commit: &Commit,
        file: &str,
        within: &Path,
    ) -> Result<Option<String>, GitError> {
        let fresh = !within.join(".git").exists();
        if fresh {
            self.run(within, &["init", "--quiet"]).await?;
        }
        let whole = self.obtain(within, repository, commit, fresh).await?;
        let listed = self.run(within, &["ls-tree", "--name-only", &whole, "--", file]).await?;
        if listed.stdout.trim() != file {
            return Ok(None);
        }
        let said = self.run(within, &["show", "--no-textconv", &format!("{whole}:{file}")]).await?;
        Ok(Some(said.stdout))
    }

    async fn resolve(&self, clone: &Path, commit: &Commit) -> Result<Option<String>, GitError> {
        let name = format!("{}^{{commit}}", commit.as_str());
        let said = self.command(clone, &["rev-parse", "--verify", "--quiet", &name]).finish().await?;
        let whole = said.stdout.trim();
        // A branch may be called like a commit.
        Ok((said.is_success() && commit.is(whole)).then(|| whole.to_owned()))
    }

    async fn run(&self, folder: &Path, args: &[&str]) -> Result<Finished, ToolError> {
        self.command(folder, args).succeed().await
    }

    fn command(&self, folder: &Path, args: &[&str]) -> Tool {
        let name = format!("git {}", args.first().copied().unwrap_or_default());
        let mut tool = Tool::new(&self.program, &name, self.limit).within(folder);
        for variable in ASTRAY {
            tool = tool.without(variable);
        }
        // A folder in which there is no repository is not to find one above it.
        let ceiling = fs::canonicalize(folder).ok().and_then(|folder| folder.parent().map(Path::to_owned));
        // Somebody who set his own way to ssh knows why.
        if std::env::var_os("GIT_SSH_COMMAND").is_none() {
            tool = tool.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
        }
        tool.env("GIT_CEILING_DIRECTORIES", ceiling.unwrap_or_default())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("SSH_ASKPASS", "true")
            .env("GIT_ALLOW_PROTOCOL", self.transports.allowed())
            .env("LC_ALL", "C")
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .args(args)
    }
}
