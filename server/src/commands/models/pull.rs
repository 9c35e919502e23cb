//! `comfyport models pull`

use comfyport_depot::{How, PullError, Pulled, Wanted};
use serde_json::{Value, json};

use super::{Desk, Outcome, arguments::ModelPull, show::bytes, watch};
use crate::{
    cli::Format,
    say,
    supplies::{self, Needed},
};

impl Desk {
    /// Fetches what is missing. What cannot even be asked for is told first.
    pub(super) fn pull(&self, arguments: &ModelPull) -> Outcome {
        let mut settings = self.settings.clone();
        settings.overwrite = arguments.overwrite;
        let depot = self.depot(settings)?;
        let (mut wanted, mut told, mut fine) = (Vec::new(), Vec::new(), true);
        for needed in &self.needed {
            match needed.wanted() {
                // A node fetches it to where it likes, unless somebody said where it can be had.
                Ok(one) if needed.by_node && one.sources.is_empty() => told.push(by_node(needed)),
                Ok(one) => wanted.push(one),
                Err(why) => {
                    fine = false;
                    say::line(format_args!("error: {why}"));
                    told.push(json!({"name": needed.name(), "error": {"code": "unknown", "message": why}}));
                }
            }
        }
        let outcomes = fetch(&depot, &wanted)?;
        fine &= outcomes.iter().all(Result::is_ok);
        let text = match self.format {
            Format::Json => {
                told.extend(wanted.iter().zip(&outcomes).map(|(wanted, outcome)| described(wanted, outcome)));
                format!("{:#}\n", json!({ "models": told }))
            }
            Format::Text => outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).map(line).collect(),
        };
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            say::line(format_args!("error: {error}\n  help: {}", error.next_step()));
        }
        Ok((text, fine))
    }
}

fn fetch(
    depot: &comfyport_depot::Depot,
    wanted: &[Wanted],
) -> Result<Vec<Result<Pulled, PullError>>, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start threads: {error}"))?;
    let watched = watch::Watch::new(wanted);
    let outcomes = runtime.block_on(depot.pull(wanted, &watched.listener()));
    watched.end();
    Ok(outcomes)
}

fn by_node(needed: &Needed) -> Value {
    json!({"name": needed.name(), "how": "fetched by a node when it first runs"})
}

fn how(how: How) -> &'static str {
    match how {
        How::Present => "present",
        How::Cached => "from the cache",
        How::Fetched { .. } => "fetched",
    }
}

fn line(pulled: &Pulled) -> String {
    let unsure = if pulled.sha256.is_none() { "\tnot compared with anything" } else { "" };
    format!("{}\t{}\t{}{unsure}\n", pulled.name, bytes(pulled.size), how(pulled.how))
}

fn described(wanted: &Wanted, outcome: &Result<Pulled, PullError>) -> Value {
    let mut told = supplies::pulled(&wanted.name.to_string(), outcome);
    if let Ok(pulled) = outcome {
        told["path"] = json!(pulled.path);
    }
    told
}
