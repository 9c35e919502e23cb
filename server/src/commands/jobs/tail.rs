//! `comfyport jobs tail`

use std::{
    collections::{BTreeMap, HashSet},
    io::IsTerminal as _,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use indicatif::ProgressBar;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Outcome, Stop,
    bars::{Bars, advance, finish},
    put,
    sse::{Event, Events},
};
use crate::{
    cli::Format,
    commands::{
        remote::{Remote, printable},
        table::cell,
    },
};

/// Between two tries to reach the server.
const PAUSE: Duration = Duration::from_secs(1);

/// A server that is not back after so many tries is given up.
const TRIES: u32 = 60;

/// Between two looks for jobs that have begun.
const LOOK: Duration = Duration::from_secs(1);

/// Jobs that are followed at the same time.
const MOST: &str = "200";

/// Lines are written when a job has come so many percent further.
const STEP: f64 = 5.0;

/// Follows one job to its end, or all that run until none does. Answers whether all of them succeeded.
pub(super) async fn run(server: &Remote, id: Option<Uuid>, format: Format) -> Outcome {
    let bars = (std::io::stdout().is_terminal() && format == Format::Text).then(Bars::new);
    let screen = Screen { bars: bars.as_ref(), format };
    let outcome = watch(server, id, screen).await;
    if bars.is_some() {
        // Bars end without a line break.
        put("\n")?;
    }
    outcome
}

async fn watch(server: &Remote, id: Option<Uuid>, screen: Screen<'_>) -> Outcome {
    if let Some(id) = id {
        let job = server.get(&["jobs", &id.to_string()]).await?;
        return follow(server, &job, screen).await;
    }
    let (mut known, mut waiting, mut all) = (HashSet::new(), BTreeMap::new(), true);
    let mut followed = FuturesUnordered::new();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            Some(ended) = followed.next() => all &= ended?,
            _ = tick.tick() => {
                let query = [("status", "queued,running"), ("limit", MOST)];
                let answer = server.find(&["jobs"], &query).await?;
                let jobs = answer.get("jobs").and_then(Value::as_array).cloned().unwrap_or_default();
                if jobs.is_empty() && waiting.is_empty() && followed.is_empty() {
                    return Ok(all);
                }
                let mut waited = std::mem::take(&mut waiting);
                for job in jobs {
                    let id = cell(&job, "id");
                    waited.remove(&id);
                    if cell(&job, "status") == "queued" {
                        waiting.insert(id, job);
                    } else if known.insert(id) {
                        followed.push(follow_owned(server, job, screen));
                    }
                }
                // What waited and does neither wait nor run any more was quick.
                for (id, job) in waited {
                    if known.insert(id) {
                        followed.push(follow_owned(server, job, screen));
                    }
                }
            }
        }
    }
}

async fn follow_owned(server: &Remote, job: Value, screen: Screen<'_>) -> Outcome {
    follow(server, &job, screen).await
}

/// Follows a job to its end, whatever happens to the connection meanwhile.
async fn follow(server: &Remote, job: &Value, screen: Screen<'_>) -> Outcome {
    let id = cell(job, "id");
    let mut line = screen.line(&id, &cell(job, "workflow"));
    let (mut seen, mut failures) = (None, 0);
    loop {
        match server.stream(&["jobs", &id, "events"], seen.as_deref()).await {
            Ok(Some(response)) => {
                let mut events = Events::of(response);
                while let Some(event) = events.next().await {
                    failures = 0;
                    if let Some(succeeded) = line.tell(&event)? {
                        return Ok(succeeded);
                    }
                }
                seen = events.seen().map(str::to_owned).or(seen);
            }
            // There is nothing to see that was not seen: it has ended.
            Ok(None) => {
                let job = server.get(&["jobs", &id]).await?;
                return Ok(cell(&job, "status") == "succeeded");
            }
            Err(refusal) if refusal.status.is_some_and(|status| status.is_client_error()) => {
                return Err(refusal.into());
            }
            Err(refusal) if failures >= TRIES => return Err(refusal.into()),
            Err(_) => {}
        }
        failures += 1;
        line.lost()?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Where jobs are shown.
#[derive(Debug, Clone, Copy)]
struct Screen<'b> {
    bars: Option<&'b Bars>,
    format: Format,
}

impl Screen<'_> {
    fn line(self, id: &str, workflow: &str) -> Line {
        let bar = self.bars.map(|bars| bars.add(id, workflow));
        Line { id: id.to_owned(), bar, format: self.format, percent: None, said: String::new() }
    }
}

/// One job, as it is shown.
#[derive(Debug)]
struct Line {
    id: String,
    bar: Option<ProgressBar>,
    format: Format,
    percent: Option<f64>,
    /// What was said last, so that nothing is said twice.
    said: String,
}

impl Line {
    /// Shows an event. Answers whether the job succeeded, if it has ended.
    fn tell(&mut self, event: &Event) -> Result<Option<bool>, Stop> {
        let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
        let outcome = match event.name.as_str() {
            "result" => Some(true),
            "problem" => Some(false),
            _ => None,
        };
        if self.format == Format::Json {
            put(&format!("{}\n", serde_json::json!({"job": self.id, "event": event.name, "data": data})))?;
            return Ok(outcome);
        }
        let percent = data.get("percent").and_then(Value::as_f64);
        match event.name.as_str() {
            "progress" if self.is_behind(percent) => return Ok(None),
            "progress" if self.bar.is_none() && self.is_little(percent) => return Ok(None),
            "progress" => self.percent = percent.or(self.percent),
            // A further try begins at nothing.
            "retrying" => self.percent = None,
            _ => {}
        }
        let words = match event.name.as_str() {
            "queued" => match data.get("position").and_then(Value::as_i64) {
                Some(position) => format!("queued\t{position} before it"),
                None => "queued\t".to_owned(),
            },
            "running" | "started" => format!("{}\t{}", event.name, cell(&data, "engine")),
            "retrying" => format!("retrying\t{}", cell(&data, "reason")),
            "progress" => format!("progress\t{}", step(&data)),
            "result" => format!("succeeded\t{}", files(&data).join(" ")),
            "problem" => format!("{}\t{}", ended(&data), cell(&data, "detail")),
            _ => return Ok(None),
        };
        match &self.bar {
            Some(bar) => {
                // Addresses of files would be cut off.
                let shown = match event.name.as_str() {
                    "result" => format!("succeeded  {} files", files(&data).len()),
                    _ => words.replace('\t', "  "),
                };
                match outcome {
                    Some(succeeded) => finish(bar, succeeded, shown),
                    None => advance(bar, percent, shown),
                }
            }
            None => self.say(&words)?,
        }
        Ok(outcome)
    }

    /// Whether a job is no further than was shown: what is kept of its progress may overtake what is not.
    fn is_behind(&self, percent: Option<f64>) -> bool {
        percent.zip(self.percent).is_some_and(|(now, shown)| now < shown)
    }

    fn is_little(&self, percent: Option<f64>) -> bool {
        percent.zip(self.percent).is_some_and(|(now, shown)| now < shown + STEP)
    }

    fn say(&mut self, words: &str) -> Result<(), Stop> {
        if words != self.said {
            put(&format!("{}\t{}\n", self.id, words.trim_end()))?;
            words.clone_into(&mut self.said);
        }
        Ok(())
    }

    fn lost(&mut self) -> Result<(), Stop> {
        match (&self.bar, self.format) {
            (Some(bar), _) => advance(bar, None, "the connection is lost; trying again".to_owned()),
            (None, Format::Text) => self.say("lost\ttrying again")?,
            (None, Format::Json) => {}
        }
        Ok(())
    }
}

/// `45 %  KSampler 9/20  eta 3 s`
fn step(data: &Value) -> String {
    let mut words = Vec::new();
    if let Some(percent) = data.get("percent").and_then(Value::as_f64) {
        words.push(format!("{percent:.0} %"));
    }
    let node = if data.get("title").is_some() { cell(data, "title") } else { cell(data, "node") };
    let of = |key: &str| data.get(key).and_then(Value::as_f64);
    match (of("value"), of("max")) {
        (Some(value), Some(max)) if !node.is_empty() => words.push(format!("{node} {value}/{max}")),
        _ if !node.is_empty() => words.push(node),
        _ => {}
    }
    if let Some(eta) = of("eta_s") {
        words.push(format!("eta {eta:.0} s"));
    }
    words.join("  ")
}

/// `failed`, or what else the job was.
fn ended(problem: &Value) -> &'static str {
    match problem.get("code").and_then(Value::as_str) {
        Some("cancelled") => "cancelled",
        Some("expired") => "expired",
        _ => "failed",
    }
}

/// Where the files of a result are.
fn files(result: &Value) -> Vec<String> {
    let outputs = result.get("outputs").and_then(Value::as_object);
    let items =
        outputs.into_iter().flat_map(|outputs| outputs.values()).filter_map(Value::as_array).flatten();
    items.filter_map(|item| item.get("url")?.as_str()).map(printable).collect()
}
