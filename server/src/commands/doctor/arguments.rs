//! What is said to `comfyport doctor`.

use std::path::PathBuf;

use clap::Args;
use url::Url;

use crate::cli::Format;

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// An engine of the configuration [default: all of them]
    #[arg(long, value_name = "NAME", conflicts_with = "comfyui_url")]
    pub(crate) engine: Option<String>,
    /// A ComfyUI by its address, instead
    #[arg(long, value_name = "URL")]
    pub(crate) comfyui_url: Option<Url>,
    /// The folder of ComfyUI, if it is on this machine [default: `nodes.comfyui`]
    #[arg(long, value_name = "DIR")]
    pub(crate) comfyui: Option<PathBuf>,
    /// The Python it runs with [default: `nodes.python`, or that of `venv` or `.venv` in its folder or beside it]
    #[arg(long, value_name = "FILE")]
    pub(crate) python: Option<PathBuf>,
    /// For this workflow alone; give it again for each further one [default: all that were compiled in]
    #[arg(long, value_name = "PATH")]
    pub(crate) workflow: Vec<String>,
    /// The lock of a project [default: workflow_templates/comfyport.lock, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// A configuration file; `comfyport config default` prints one
    #[arg(long, env = "COMFYPORT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}
