//! Node packs of a ComfyUI, installed and proved.
//!
//! [`Place`] is a ComfyUI on this machine; what is in its `custom_nodes` is told by reading files. [`Installer`] makes a
//! [`Plan`] of what a lock asks for, which is a value to be shown before anything happens, and carries it out: clones at
//! a commit and archives of the Comfy Registry are made ready beside `custom_nodes`, checked, and renamed into it; what
//! they ask of Python is tried before it is installed, and cannot replace what ComfyUI needs. Then ComfyUI is started
//! anew ([`Engine`]) and asked what it has. A pack that it cannot import, or cannot start with, is taken out again, and
//! packages of Python are put back. Each [`Outcome`] says what became of one pack.
//!
//! [`RemoteInstaller`] does the same by ComfyUI-Manager where there is no shell, and believes nothing of what it says.

mod archive;
mod change;
mod engine;
mod git;
mod installed;
mod installer;
mod manager;
mod outcome;
mod place;
mod plan;
mod python;
mod registry;
mod remote;
mod source;
mod sources;
#[cfg(feature = "testing")]
pub mod testing;
mod tool;

pub use archive::{ArchiveError, ArchiveLimits};
pub use change::ChangeError;
pub use engine::{Classes, Engine, ImportFailures, Process, Restart, StartError};
pub use git::{Git, GitError};
pub use installed::{Installed, Origin, Project};
pub use installer::{Installer, Settings, WorkError};
pub use manager::{Generation, Manager, ManagerError};
pub use outcome::{Became, Outcome};
pub use place::{BadPlace, Place};
pub use plan::{Action, Plan, Source, Step};
pub use python::{Package, PackageChange, Packages, Python, PythonError};
pub use registry::{KnownPack, Registry, RegistryError};
pub use remote::{RemoteError, RemoteInstaller};
pub use source::{BadSource, Commit, Repository, Transports};
pub use sources::{Asks, SourceError, Sources};
pub use tool::ToolError;
