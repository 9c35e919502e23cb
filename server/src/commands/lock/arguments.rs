//! What is said to `comfyport lock`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use url::Url;

use crate::cli::Format;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Lock {
    #[command(subcommand)]
    pub(crate) action: Option<LockAction>,
    #[command(flatten)]
    pub(crate) project: LockProject,
}

/// Without another word: the models and node packs of all workflows, into `comfyport.lock`.
#[derive(Debug, Args)]
pub(crate) struct LockProject {
    /// The folder of workflows
    #[arg(value_name = "DIR", default_value = "workflow_templates")]
    pub(crate) folder: PathBuf,
    /// Write nothing; exit 1 if the lock is not what the workflows need
    #[arg(long)]
    pub(crate) check: bool,
    /// With --check: exit 1 also for models without hash or address, packs without version, and what is undecided
    #[arg(long, requires = "check")]
    pub(crate) strict: bool,
    /// Where several node packs have a class, take the likeliest
    #[arg(long)]
    pub(crate) take_likely: bool,
    /// The ComfyUI that the workflows are known to run on: a version or a commit
    #[arg(long, value_name = "VERSION")]
    pub(crate) comfyui: Option<String>,
    /// `model-list.json` of a ComfyUI-Manager, for addresses of models that nobody else knows
    #[arg(long, value_name = "FILE")]
    pub(crate) manager_models: Option<PathBuf>,
    /// Node definitions beside the core ones: a saved `GET /object_info` or a pulled catalog
    #[arg(long, value_name = "FILE")]
    pub(crate) object_info: Option<PathBuf>,
    /// Ask sources what is not known yet: hosts for sizes and hashes of models, the Comfy Registry and repositories for
    /// versions, commits and requirements of node packs
    #[arg(long, conflicts_with = "check")]
    pub(crate) resolve: bool,
    /// With --resolve: an engine of the configuration, asked which packs it has classes from, and at which versions
    #[arg(long, value_name = "NAME", requires = "resolve", conflicts_with = "comfyui_url")]
    pub(crate) engine: Option<String>,
    /// The same by its address
    #[arg(long, value_name = "URL", requires = "resolve")]
    pub(crate) comfyui_url: Option<Url>,
    /// With --resolve: a configuration file; `comfyport config default` prints one
    #[arg(long, env = "COMFYPORT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct LockImport {
    /// A snapshot of ComfyUI-Manager or comfy-pack
    pub(crate) snapshot: PathBuf,
    /// The folder of workflows
    #[arg(value_name = "DIR", default_value = "workflow_templates")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LockExport {
    /// Whose form it is to have
    #[arg(value_enum)]
    pub(crate) kind: SnapshotKind,
    /// The folder of workflows
    #[arg(value_name = "DIR", default_value = "workflow_templates")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SnapshotKind {
    /// ComfyUI-Manager's
    Manager,
    /// comfy-pack's, with models
    ComfyPack,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LockAction {
    /// Take over what a snapshot of ComfyUI-Manager or comfy-pack pins
    Import(LockImport),
    /// Print what is pinned as a snapshot of ComfyUI-Manager or comfy-pack
    Export(LockExport),
    /// Say which workflows would change their public API, and how; for CI
    Check(LockCheck),
    /// Take the API that workflows have now for their public one, and print what that changes
    Accept(LockFiles),
}

#[derive(Debug, Args)]
pub(crate) struct LockCheck {
    #[command(flatten)]
    pub(crate) files: LockFiles,
    /// Compare with the locks below this folder, of a release or another branch; only what breaks callers is a fault
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct LockFiles {
    /// Workflows, or folders of them
    #[arg(value_name = "PATH", default_value = "workflow_templates")]
    pub(crate) files: Vec<PathBuf>,
    /// Node definitions beside the core ones: a saved `GET /object_info` or a pulled catalog
    #[arg(long, value_name = "FILE")]
    pub(crate) object_info: Option<PathBuf>,
}
