//! `comfyport jobs list`

use std::{
    collections::{BTreeSet, HashMap},
    io::IsTerminal as _,
    time::Duration,
};

use serde_json::Value;

use super::{Outcome, bars::Table, put};
use crate::{
    cli::{Format, JobList},
    commands::{
        remote::Remote,
        table::{cell, table},
    },
};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Rows of a live table, if nobody says how many.
const ROWS: u32 = 20;

/// Rows of a list, if nobody says how many.
const LIST: u32 = 50;

pub(super) async fn once(server: &Remote, wanted: &JobList, format: Format) -> Outcome {
    let answer = find(server, wanted, LIST).await?;
    match format {
        Format::Json => put(&format!("{answer:#}\n"))?,
        Format::Text => put(&rows(jobs(&answer)))?,
    }
    Ok(true)
}

/// A live table in a terminal; elsewhere a line for each job that is new or has changed.
pub(super) async fn watch(server: &Remote, wanted: &JobList, format: Format) -> Outcome {
    let screen = (std::io::stdout().is_terminal() && format == Format::Text).then(Table::new);
    let mut known: HashMap<String, String> = HashMap::new();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        let answer = find(server, wanted, ROWS).await?;
        let jobs = jobs(&answer);
        if let Some(screen) = &screen {
            screen.draw(jobs);
            continue;
        }
        let listed: BTreeSet<String> = jobs.iter().map(|job| cell(job, "id")).collect();
        known.retain(|id, _| listed.contains(id));
        for job in jobs.iter().rev() {
            let row = row(job).join("\t");
            if known.insert(cell(job, "id"), row.clone()).as_ref() == Some(&row) {
                continue;
            }
            match format {
                Format::Json => put(&format!("{job}\n"))?,
                Format::Text => put(&format!("{}\n", row.trim_end()))?,
            }
        }
    }
}

async fn find(server: &Remote, wanted: &JobList, most: u32) -> Result<Value, String> {
    let limit = wanted.limit.unwrap_or(most).to_string();
    let batch = wanted.batch.map(|batch| batch.to_string());
    let status = wanted.status.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(",");
    let mut query = vec![("limit", limit.as_str())];
    let given = [
        ("status", Some(status.as_str()).filter(|status| !status.is_empty())),
        ("workflow", wanted.workflow.as_deref()),
        ("tag", wanted.tag.as_deref()),
        ("batch", batch.as_deref()),
        ("since", wanted.since.as_deref()),
        ("until", wanted.until.as_deref()),
        ("cursor", wanted.cursor.as_deref()),
    ];
    query.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
    server.find(&["jobs"], &query).await
}

fn jobs(answer: &Value) -> &[Value] {
    answer.get("jobs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn rows(jobs: &[Value]) -> String {
    let rows: Vec<_> = jobs.iter().map(row).collect();
    table(["JOB", "STATUS", "WORKFLOW", "DONE", "ENGINE", "ACCEPTED", "TRIES", "ERROR"], &rows)
}

fn row(job: &Value) -> [String; 8] {
    [
        cell(job, "id"),
        cell(job, "status"),
        cell(job, "workflow"),
        percent(job).map(|percent| format!("{percent:.0} %")).unwrap_or_default(),
        cell(job, "engine"),
        cell(job, "created_at"),
        cell(job, "attempt"),
        job.get("error").map(|error| cell(error, "code")).unwrap_or_default(),
    ]
}

/// How far a running job is.
pub(super) fn percent(job: &Value) -> Option<f64> {
    job.pointer("/progress/percent").and_then(Value::as_f64)
}
