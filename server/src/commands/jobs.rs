//! `comfyport jobs`

use std::{io, process::ExitCode};

use serde_json::{Value, json};

use super::{
    remote::{Refusal, Remote},
    table::{cell, details},
};
use crate::{
    cli::{Format, JobAction, JobList, Jobs},
    say,
};

mod bars;
mod list;
mod sse;
mod tail;

/// Why a command ended early.
#[derive(Debug)]
enum Stop {
    /// Whoever reads has seen enough.
    Closed,
    /// Nothing more can be written.
    Broken(io::Error),
    /// The server cannot be asked, or does not know what is meant.
    Refused(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Broken(error) }
    }
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.message)
    }
}

/// Whether everything went as it should.
type Outcome = Result<bool, Stop>;

pub(crate) fn run(arguments: &Jobs) -> ExitCode {
    super::block_on(async {
        match act(arguments).await {
            Ok(true) | Err(Stop::Closed) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(Stop::Broken(error)) => say::refuse(error),
            Err(Stop::Refused(why)) => say::refuse(why),
        }
    })
}

async fn act(arguments: &Jobs) -> Outcome {
    let server = Remote::new(&arguments.server.url)?;
    let format = arguments.format;
    match &arguments.action {
        None => list::once(&server, &JobList::default(), format).await,
        Some(JobAction::List(wanted)) if wanted.watch => list::watch(&server, wanted, format).await,
        Some(JobAction::List(wanted)) => list::once(&server, wanted, format).await,
        Some(JobAction::Show(one)) => {
            let job = server.get(&["jobs", &one.id.to_string()]).await?;
            show(&job, format)
        }
        Some(JobAction::Cancel(several)) => cancel(&server, &several.ids, format).await,
        Some(JobAction::Retry(one)) => {
            let job = server.post(&["jobs", &format!("{}:retry", one.id)]).await?;
            show(&job, format)
        }
        Some(JobAction::Tail(wanted)) => tail::run(&server, wanted.id, format).await,
    }
}

fn show(job: &Value, format: Format) -> Outcome {
    match format {
        Format::Json => put(&format!("{job:#}\n"))?,
        Format::Text => put(&details(job))?,
    }
    Ok(true)
}

/// All of them are asked for, also where one has ended already: that is told, and the exit code is 1.
async fn cancel(server: &Remote, ids: &[uuid::Uuid], format: Format) -> Outcome {
    let mut all = true;
    for id in ids {
        let id = id.to_string();
        let job = match server.delete(&["jobs", &id]).await {
            Ok(job) => job,
            Err(refusal) if refusal.status.is_some() => {
                all = false;
                say::line(format_args!("{id}: {}", refusal.message));
                continue;
            }
            Err(refusal) => return Err(refusal.into()),
        };
        // Whoever runs it has to be told first.
        let status = if job.get("cancel_requested") == Some(&json!(true)) {
            "cancelling".to_owned()
        } else {
            cell(&job, "status")
        };
        match format {
            Format::Json => put(&format!("{job}\n"))?,
            Format::Text => put(&format!("{id}\t{status}\n"))?,
        }
    }
    Ok(all)
}

/// Writes to standard output, at once.
fn put(text: &str) -> io::Result<()> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
