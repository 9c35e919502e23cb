//! The command line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use comfyport_endpoint::Endpoint;
use url::Url;
use uuid::Uuid;

use crate::{
    access::Scope,
    commands::{
        self, doctor::arguments::Doctor, lock::arguments::Lock, models::arguments::Models,
        nodes::arguments::Nodes,
    },
};

/// Serve exported ComfyUI workflows as typed HTTP endpoints.
#[derive(Debug, Parser)]
#[command(name = "comfyport", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the workflows that were compiled in, and those of a folder
    Serve(Serve),
    /// Say what comfyport makes of exported workflows, and what is wrong with them
    Check(Check),
    /// Make a project of your own, with a folder for workflows that are compiled in
    New(New),
    /// Copy a workflow into the project around the current directory, and say what is made of it
    Add(Add),
    /// Pin what workflows need; keep their public API as it is
    Lock(Lock),
    /// Print the OpenAPI document
    Openapi,
    /// Write a typed client for the workflows that were compiled in
    Client(Client),
    /// See and steer the engines of a running server
    Engines(Engines),
    /// See, follow, cancel and repeat the jobs of a running server
    Jobs(Jobs),
    /// Fetch the models that workflows need, and look after those that are there
    Models(Models),
    /// Install the node packs that workflows need, and look after those that are there
    Nodes(Nodes),
    /// Say what is wrong with engines and with a ComfyUI on this machine, and what mends it
    Doctor(Doctor),
    /// Make, list and take back API keys, beside a running server or without one
    Keys(Keys),
    /// See the webhooks of a running server, and have them delivered again
    Webhooks(Webhooks),
    /// Print the configuration
    #[command(subcommand)]
    Config(Config),
    /// Ask a language model for better words of a workflow's endpoint, and write those you accept into its sidecar
    Enrich(commands::enrich::Enrich),
    /// Learn node definitions from a ComfyUI
    #[command(subcommand)]
    Catalog(Catalog),
    /// Run a stand-in for ComfyUI that speaks its protocol and makes results up
    Simulate(Simulate),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, env = "COMFYPORT_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// The ComfyUI to run workflows on; give it again for each further one [default: http://127.0.0.1:8188]
    #[arg(long, env = "COMFYPORT_COMFYUI_URL", value_name = "URL", value_delimiter = ',')]
    pub(crate) comfyui_url: Vec<Url>,
    /// Run on the embedded simulator instead: results are made up
    #[arg(long, conflicts_with = "comfyui_url")]
    pub(crate) simulate: bool,
    /// A folder of further workflows, served without a rebuild and read again when they change
    #[arg(long, env = "COMFYPORT_WORKFLOWS_DIR", value_name = "DIR")]
    pub(crate) workflows_dir: Option<PathBuf>,
    /// Where jobs are kept, if not in the data directory: postgres://user:password@host/database
    #[arg(long, env = "COMFYPORT_STORE", value_name = "URL", hide_env_values = true)]
    pub(crate) store: Option<String>,
    /// Where jobs and their files are kept
    #[arg(long, env = "COMFYPORT_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Serve on an address that others reach although there are no API keys
    #[arg(long)]
    pub(crate) insecure: bool,
    /// A configuration file; `comfyport config default` prints one
    #[arg(long, env = "COMFYPORT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Exported workflows; a sidecar file `name.toml` beside `name.json` is read too
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Node definitions beside the core ones: a saved `GET /object_info` or a pulled catalog
    #[arg(long, value_name = "FILE")]
    pub(crate) object_info: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder to make; its last part names the project and its binary
    #[arg(value_name = "NAME")]
    pub(crate) folder: PathBuf,
    /// Comfyport's sources to build against, instead of the published release
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// An exported workflow, or a picture, film, sound or mesh that ComfyUI saved
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The route to give it, such as `flux/portrait` [default: the name of the file]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Replace the workflow of that route
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For machines
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Engines {
    #[command(subcommand)]
    pub(crate) action: Option<EngineAction>,
    #[command(flatten)]
    pub(crate) server: Server,
    /// How to print the result
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EngineAction {
    /// Print all engines; so does leaving this out
    List,
    /// Print everything about one
    Show(EngineName),
    /// Send nothing more to one; what runs there goes on
    Drain(EngineName),
    /// Send to it again
    Resume(EngineName),
}

#[derive(Debug, Args)]
pub(crate) struct EngineName {
    /// Its name, as `comfyport engines` prints it
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Jobs {
    #[command(subcommand)]
    pub(crate) action: Option<JobAction>,
    #[command(flatten)]
    pub(crate) server: Server,
    /// How to print the result
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobAction {
    /// Print jobs, the newest first; so does leaving this out
    List(JobList),
    /// Print everything about one
    Show(JobName),
    /// Cancel jobs, whether they wait or run
    Cancel(JobNames),
    /// Run what an ended job was asked for once more, as a new job
    Retry(JobName),
    /// Follow a job to its end; exits with 1 unless it succeeds
    Tail(JobTail),
}

#[derive(Debug, Default, Args)]
pub(crate) struct JobList {
    /// Those in one of these states alone
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATUS")]
    pub(crate) status: Vec<JobStatus>,
    /// Those of this workflow alone, such as `sd15/txt2img`
    #[arg(long)]
    pub(crate) workflow: Option<String>,
    /// Those with this tag alone
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Those of this batch alone
    #[arg(long, value_name = "ID")]
    pub(crate) batch: Option<Uuid>,
    /// Those accepted at this time or later, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Those accepted before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// How many [default: 50, or 20 with --watch]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: Option<u32>,
    /// Where to go on, as `next_cursor` of `--format json` says
    #[arg(long, conflicts_with = "watch")]
    pub(crate) cursor: Option<String>,
    /// Go on looking: a live table in a terminal, else a line for each change
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum JobStatus {
    /// It waits
    Queued,
    /// An engine has it
    Running,
    /// It yielded its outputs
    Succeeded,
    /// It did not
    Failed,
    /// Somebody cancelled it
    Cancelled,
    /// Its deadline passed
    Expired,
}

impl JobStatus {
    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct JobName {
    /// Its id, as `comfyport jobs` prints it
    #[arg(value_name = "JOB")]
    pub(crate) id: Uuid,
}

#[derive(Debug, Args)]
pub(crate) struct JobNames {
    /// Their ids, as `comfyport jobs` prints them
    #[arg(value_name = "JOB", required = true)]
    pub(crate) ids: Vec<Uuid>,
}

#[derive(Debug, Args)]
pub(crate) struct JobTail {
    /// Its id [default: all jobs that run, until none waits or runs]
    #[arg(value_name = "JOB")]
    pub(crate) id: Option<Uuid>,
}

#[derive(Debug, Args)]
pub(crate) struct Webhooks {
    #[command(subcommand)]
    pub(crate) action: Option<WebhookAction>,
    #[command(flatten)]
    pub(crate) server: Server,
    /// How to print the result
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookAction {
    /// Print the newest deliveries; so does leaving this out
    List(WebhookList),
    /// Deliver one again, whatever became of it
    Redeliver(DeliveryName),
    /// Print a fresh secret for `webhooks.secrets`
    Secret,
}

#[derive(Debug, Default, Args)]
pub(crate) struct WebhookList {
    /// Those in this state alone: `dead` are those that were given up
    #[arg(long, value_enum)]
    pub(crate) status: Option<DeliveryStatus>,
    /// Those of this job alone
    #[arg(long, value_name = "JOB", conflicts_with_all = ["status", "limit"])]
    pub(crate) job: Option<Uuid>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeliveryStatus {
    /// It will be tried, maybe again
    Pending,
    /// It arrived
    Delivered,
    /// It was given up
    Dead,
}

#[derive(Debug, Args)]
pub(crate) struct DeliveryName {
    /// The job it is about
    pub(crate) job: Uuid,
    /// Its id, as `comfyport webhooks` prints it
    pub(crate) delivery: String,
}

#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) action: KeyAction,
    /// Where jobs and keys are kept, if not in the data directory: postgres://user:password@host/database
    #[arg(long, global = true, env = "COMFYPORT_STORE", value_name = "URL", hide_env_values = true)]
    pub(crate) store: Option<String>,
    /// The data directory of the server
    #[arg(long, global = true, env = "COMFYPORT_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The keys of servers that run on the simulator
    #[arg(long, global = true)]
    pub(crate) simulate: bool,
    /// The configuration file of the server
    #[arg(long, global = true, env = "COMFYPORT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Make a key and print it, once
    Create(NewKey),
    /// Print the keys there are, without their secret part
    List,
    /// Take keys back; servers notice within a second
    Revoke(KeyNames),
}

#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// What people call it
    pub(crate) name: String,
    /// What it may do
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["read", "run"])]
    pub(crate) scope: Vec<Scope>,
    /// Whose jobs its jobs are, for keys that share them [default: its own]
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// A workflow it is for, or `folder/*`; give it again for each further one [default: all]
    #[arg(long, value_name = "PATH")]
    pub(crate) workflow: Vec<String>,
    /// Days until it expires [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) days: Option<u32>,
    /// Requests in a minute [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) per_minute: Option<u32>,
    /// Jobs of its owner that wait or run at the same time [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) active_jobs: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyNames {
    /// Their ids, as `comfyport keys list` prints them
    #[arg(value_name = "KEY", required = true)]
    pub(crate) ids: Vec<String>,
}

/// Which running server a command talks to.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The running server to talk to
    #[arg(
        long = "server",
        global = true,
        env = "COMFYPORT_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:3000"
    )]
    pub(crate) url: Url,
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Print every setting with its default and meaning
    Default,
    /// Print the settings in force, secrets masked
    Show {
        /// A configuration file
        #[arg(long, env = "COMFYPORT_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Catalog {
    /// Write the node definitions of a running ComfyUI, facts only, to a file for `workflow_templates/object_info.json`
    Pull(Pull),
}

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// The ComfyUI to ask
    #[arg(long, env = "COMFYPORT_COMFYUI_URL", value_name = "URL", default_value = "http://127.0.0.1:8188")]
    pub(crate) comfyui_url: Url,
    /// A saved `GET /object_info` to read instead
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Client {
    /// The language to write it in
    #[arg(value_enum)]
    pub(crate) language: Language,
    /// The folder to write [default: comfyport-client-ts, comfyport-client-python]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// TypeScript, without dependencies
    Ts,
    /// Python 3.10 and later, with httpx
    Python,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8188")]
    pub(crate) listen: SocketAddr,
    /// Milliseconds that a sampling step takes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) step_delay: u64,
    /// Node definitions beside the core ones
    #[arg(long, value_name = "FILE")]
    pub(crate) object_info: Option<PathBuf>,
    /// Send preview pictures while sampling
    #[arg(long)]
    pub(crate) previews: bool,
    /// Add starts and ends of prompts to a file, each on disk before it happens
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
}

/// Parses the arguments and runs what they ask for. clap ends the process with 2 on wrong usage.
pub(crate) fn run(endpoints: &'static [&'static Endpoint]) -> ExitCode {
    match Cli::parse().command {
        Command::Serve(arguments) => commands::serve::run(&arguments, endpoints),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::New(arguments) => commands::new::run(&arguments),
        Command::Add(arguments) => commands::add::run(&arguments),
        Command::Lock(arguments) => commands::lock::run(&arguments),
        Command::Openapi => commands::openapi::run(endpoints),
        Command::Client(arguments) => commands::client::run(&arguments, endpoints),
        Command::Engines(arguments) => commands::engines::run(&arguments),
        Command::Jobs(arguments) => commands::jobs::run(&arguments),
        Command::Webhooks(arguments) => commands::webhooks::run(&arguments),
        Command::Enrich(arguments) => commands::enrich::run(&arguments),
        Command::Models(arguments) => commands::models::run(&arguments, endpoints),
        Command::Nodes(arguments) => commands::nodes::run(&arguments, endpoints),
        Command::Doctor(arguments) => commands::doctor::run(&arguments, endpoints),
        Command::Keys(arguments) => commands::keys::run(&arguments),
        Command::Config(Config::Default) => crate::say::data(crate::config::DEFAULT),
        Command::Config(Config::Show { config }) => commands::config::show(config.as_deref()),
        Command::Catalog(Catalog::Pull(arguments)) => commands::catalog::pull(&arguments),
        Command::Simulate(arguments) => commands::simulate::run(&arguments, endpoints),
    }
}
