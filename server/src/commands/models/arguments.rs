//! What is said to `comfyport models`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::Format;

#[derive(Debug, Args)]
pub(crate) struct Models {
    #[command(subcommand)]
    pub(crate) action: ModelAction,
    /// ComfyUI's models folder [default: `models.dir`]
    #[arg(long, global = true, env = "COMFYPORT_MODELS_DIR", value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// An engine of the configuration, for its models folder on this machine
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "to")]
    pub(crate) engine: Option<String>,
    /// Where what was fetched is kept [default: `.comfyport` in the models folder]
    #[arg(long, global = true, env = "COMFYPORT_MODELS_CACHE", value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// For this workflow alone; give it again for each further one [default: all that were compiled in, and all of the
    /// lock]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) workflow: Vec<String>,
    /// A lock of a project, which says more of models [default: workflow_templates/comfyport.lock, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// A configuration file; `comfyport config default` prints one
    #[arg(long, global = true, env = "COMFYPORT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelAction {
    /// Fetch what is missing: checked before it appears, on from where a former try stopped
    Pull(ModelPull),
    /// Print the models that are there, and who needs them
    List,
    /// Compare the models that workflows need with those that are there
    Verify(ModelVerify),
    /// Say which models lie in the wrong folder by what is in them, and move them with --apply
    Organize(ModelPlan),
    /// Say which models no workflow needs, and remove them with --apply
    Cleanup(ModelPlan),
    /// Print what is needed, what is missing, where it can be had, and what is there twice
    Report,
}

#[derive(Debug, Args)]
pub(crate) struct ModelPull {
    /// Replace files that are something else
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ModelVerify {
    /// Read all files, also those that seem not to have changed
    #[arg(long)]
    pub(crate) afresh: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ModelPlan {
    /// Do it
    #[arg(long)]
    pub(crate) apply: bool,
}
