//! What is said to `comfyport nodes`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use url::Url;

use crate::cli::Format;

#[derive(Debug, Args)]
pub(crate) struct Nodes {
    #[command(subcommand)]
    pub(crate) action: NodeAction,
    #[command(flatten)]
    pub(crate) site: SiteArguments,
    /// For this workflow alone; give it again for each further one [default: all that were compiled in, and all of the
    /// lock]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) workflow: Vec<String>,
    /// The lock of a project, which pins node packs [default: workflow_templates/comfyport.lock, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// A configuration file; `comfyport config default` prints one
    #[arg(long, global = true, env = "COMFYPORT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Where the packs are, and what tells whether ComfyUI can live with them.
#[derive(Debug, Args)]
pub(crate) struct SiteArguments {
    /// A ComfyUI on this machine: its folder, or the one it was started with as `--base-directory` [default:
    /// `nodes.comfyui`]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) comfyui: Option<PathBuf>,
    /// The Python it runs with [default: `nodes.python`, or that of `venv` or `.venv` in its folder or beside it]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) python: Option<PathBuf>,
    /// An engine of the configuration: packs are installed in its folder, if it has one on this machine, or else by its
    /// ComfyUI-Manager; with --comfyui, they are proved there
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "comfyui_url")]
    pub(crate) engine: Option<String>,
    /// The same by its address
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) comfyui_url: Option<Url>,
    /// What restarts it, run by the shell [default: `nodes.restart_command`]
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) restart_command: Option<String>,
    /// With --comfyui: its ComfyUI-Manager restarts it
    #[arg(long, global = true, conflicts_with = "restart_command")]
    pub(crate) restart_by_manager: bool,
    /// With --comfyui: prove packs on a ComfyUI that is started for it from that folder, and ended afterwards
    #[arg(long, global = true, conflicts_with_all = ["restart_command", "restart_by_manager", "engine", "comfyui_url"])]
    pub(crate) trial: bool,
    /// With --trial: an argument more for ComfyUI, such as --trial-arg=--cpu
    #[arg(long, global = true, value_name = "ARGUMENT", requires = "trial", allow_hyphen_values = true)]
    pub(crate) trial_arg: Vec<String>,
    /// Run `install.py` of packs that have one; it can do anything
    #[arg(long, global = true)]
    pub(crate) install_scripts: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeAction {
    /// Install the node packs that workflows need, at their pins; what ComfyUI cannot live with is taken back
    Install(NodeInstall),
    /// Print the node packs that are there, who needs them, and which are missing
    List,
    /// Say which packs have something newer, and bring them to it with --apply; the lock follows
    Update(NodeUpdate),
    /// Say what would be removed, and remove it with --apply
    Remove(NodeRemove),
}

#[derive(Debug, Args)]
pub(crate) struct NodeInstall {
    /// Print the plan, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NodeUpdate {
    /// Folders, names or registry ids of packs [default: all that can be]
    #[arg(value_name = "PACK")]
    pub(crate) packs: Vec<String>,
    /// Do it
    #[arg(long)]
    pub(crate) apply: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NodeRemove {
    /// Folders, names or registry ids of packs
    #[arg(value_name = "PACK", required = true)]
    pub(crate) packs: Vec<String>,
    /// Do it
    #[arg(long)]
    pub(crate) apply: bool,
}
