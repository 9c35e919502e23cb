//! `comfyport enrich`

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use comfyport_enrich::{Advice, Chat, Edit, Facts, Judged, Settings, Usage};
use comfyport_workflow::{Diagnostic, Endpoint};
use url::Url;

use super::{block_on, files, workflow_file::WorkflowFile};
use crate::say;

#[derive(Debug, Args)]
pub(crate) struct Enrich {
    /// An exported workflow; what is accepted is written into `name.toml` beside it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The language model, as the service calls it; it has to support structured outputs
    #[arg(long, env = "COMFYPORT_ENRICH_MODEL", value_name = "MODEL")]
    model: String,
    /// A service that speaks OpenAI's chat completions, up to what comes before `/chat/completions`. The key is read
    /// from COMFYPORT_ENRICH_KEY, for OpenRouter also from OPENROUTER_API_KEY; local services need none
    #[arg(
        long,
        env = "COMFYPORT_ENRICH_URL",
        value_name = "URL",
        default_value = "https://openrouter.ai/api/v1"
    )]
    base_url: Url,
    /// Seconds for one question and its answer
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Write what is in order without asking
    #[arg(long)]
    yes: bool,
    /// Print what would be sent, and send nothing
    #[arg(long, conflicts_with = "yes")]
    show_facts: bool,
    /// Node definitions beside the core ones: a saved `GET /object_info` or a pulled catalog
    #[arg(long, value_name = "FILE")]
    object_info: Option<PathBuf>,
}

/// Exits 0 if something was proposed or nothing had to be; 1 if the workflow makes no endpoint, or would make none with
/// what was proposed; 2 if the service cannot be asked.
pub(crate) fn run(arguments: &Enrich) -> ExitCode {
    match Workflow::open(arguments) {
        Ok(Ok(workflow)) => workflow.enrich(arguments),
        Ok(Err(faulty)) => faulty,
        Err(error) => say::refuse(error),
    }
}

/// A workflow that makes an endpoint.
struct Workflow {
    file: WorkflowFile,
    endpoint: Endpoint,
    sidecar: PathBuf,
    text: Option<String>,
}

impl Workflow {
    fn open(arguments: &Enrich) -> Result<Result<Self, ExitCode>, String> {
        let file = WorkflowFile::read(&arguments.file, arguments.object_info.as_deref())?;
        let endpoint = match file.endpoint() {
            Ok(endpoint) if endpoint.is_usable() => endpoint,
            Ok(endpoint) => return Ok(Err(tell(&file, &endpoint.diagnostics))),
            Err(found) => return Ok(Err(tell(&file, &found))),
        };
        let sidecar = arguments.file.with_extension("toml");
        let text = file.sidecar().map(str::to_owned);
        Ok(Ok(Self { file, endpoint, sidecar, text }))
    }

    fn enrich(self, arguments: &Enrich) -> ExitCode {
        let locked = self.file.lock_text.is_some();
        if arguments.show_facts {
            let facts = Facts::of(&self.endpoint, locked);
            return match serde_json::to_string_pretty(&facts) {
                Ok(text) => say::data(&(text + "\n")),
                Err(error) => say::refuse(error),
            };
        }
        let chat = match Chat::new(settings(arguments), comfyport_comfyui::tls()) {
            Ok(chat) => chat,
            Err(error) => return say::refuse(error),
        };
        block_on(async move {
            match comfyport_enrich::propose(&chat, &self.endpoint, locked).await {
                Ok(Advice { judged, usage }) => {
                    say::line(cost(usage));
                    self.accept(&judged, arguments)
                }
                Err(error) => say::refuse(error),
            }
        })
    }

    /// Shows what would change, and writes it if that is accepted.
    fn accept(&self, judged: &Judged, arguments: &Enrich) -> ExitCode {
        for refused in &judged.refused {
            say::line(format_args!("not taken, {}: {}", refused.about, refused.why));
        }
        let edit = match Edit::of(self.text.as_deref(), &judged.changes) {
            Ok(edit) => edit,
            Err(error) => return say::refuse(error),
        };
        if edit.decided > 0 {
            say::line(format_args!("not taken: {} that the sidecar file decides already", edit.decided));
        }
        if edit.is_empty() {
            say::line("nothing to change");
            return ExitCode::SUCCESS;
        }
        match self.file.endpoint_with(edit.after()) {
            Ok(endpoint) if endpoint.is_usable() => {}
            Ok(endpoint) => return tell(&self.file, &endpoint.diagnostics),
            Err(found) => return tell(&self.file, &found),
        }
        let shown = say::data(&edit.difference());
        if !(arguments.yes || is_accepted(&self.sidecar)) {
            say::line("nothing was written; --yes writes it without asking");
            return shown;
        }
        if let Err(error) = files::replace(&self.sidecar, edit.after().as_bytes()) {
            return say::refuse(format_args!("{}: {error}", self.sidecar.display()));
        }
        say::line(format_args!("written: {}", self.sidecar.display()));
        shown
    }
}

fn settings(arguments: &Enrich) -> Settings {
    let variable = |name| std::env::var(name).ok().filter(|key: &String| !key.is_empty());
    let is_router = arguments.base_url.domain().is_some_and(|domain| domain.ends_with("openrouter.ai"));
    let routers = || variable("OPENROUTER_API_KEY").filter(|_| is_router);
    Settings {
        base: arguments.base_url.clone(),
        model: arguments.model.clone(),
        key: variable("COMFYPORT_ENRICH_KEY").or_else(routers),
        timeout: Duration::from_secs(arguments.timeout),
        retries: 2,
    }
}

fn cost(usage: Usage) -> String {
    match usage.cost {
        Some(cost) => format!("{} tokens, {cost:.4} USD", usage.tokens),
        None => format!("{} tokens", usage.tokens),
    }
}

fn tell(file: &WorkflowFile, found: &[Diagnostic]) -> ExitCode {
    for diagnostic in found.iter().filter(|found| found.is_error()) {
        say::line(diagnostic.render(file.shown()).trim_end());
    }
    ExitCode::from(1)
}

/// Asks a person, if there is one.
fn is_accepted(sidecar: &std::path::Path) -> bool {
    let (input, mut output) = (io::stdin(), io::stderr());
    if !input.is_terminal() {
        return false;
    }
    let asked = write!(output, "Write {}? [y/N] ", sidecar.display()).and_then(|()| output.flush());
    let mut answer = String::new();
    asked.is_ok() && input.read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
