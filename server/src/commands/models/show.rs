//! What is printed of models.

use std::fmt::Write as _;

use comfyport_depot::{Duplicate, Model, Plan, PullError, Task, Verdict, VerifyState};
use serde_json::{Value, json};

use crate::{cli::Format, commands::table::table, supplies::Needed};

/// A number of bytes as people read it.
pub(crate) fn bytes(count: u64) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let count_f = count as f64;
    match units.into_iter().find(|(_, size)| count_f >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", count_f / size),
        None => format!("{count} B"),
    }
}

fn users<'n>(needed: &'n [Needed], name: &str) -> Vec<&'n str> {
    let of = needed.iter().filter(|one| one.name() == name);
    of.flat_map(|one| one.workflows.iter().map(String::as_str)).collect()
}

pub(super) fn list(models: &[Model], needed: &[Needed], format: Format) -> String {
    let all = models.iter().map(|model| (model, users(needed, &model.name.to_string())));
    match format {
        Format::Json => {
            let all: Vec<Value> = all
                .map(|(model, users)| {
                    json!({
                        "name": model.name.to_string(),
                        "path": model.path,
                        "size": model.size,
                        "links": model.links,
                        "symlink": model.symlink,
                        "workflows": users,
                    })
                })
                .collect();
            format!("{:#}\n", json!({ "models": all }))
        }
        Format::Text => {
            let rows: Vec<[String; 3]> = all
                .map(|(model, users)| [model.name.to_string(), bytes(model.size), users.join(", ")])
                .collect();
            table(["MODEL", "SIZE", "NEEDED BY"], &rows)
        }
    }
}

/// A state by name, and what there is to say of it.
fn state(state: &VerifyState) -> (&'static str, String) {
    match state {
        VerifyState::Good { sha256 } => ("good", sha256.to_string()),
        VerifyState::Unknown { sha256 } => ("unknown", sha256.to_string()),
        VerifyState::Missing => ("missing", String::new()),
        VerifyState::WrongSize { expected, actual } => {
            ("wrong_size", format!("{actual} bytes, and {expected} are expected"))
        }
        VerifyState::WrongHash { expected, actual } => {
            ("wrong_hash", format!("{actual}, and {expected} is expected"))
        }
        VerifyState::Broken { why } => ("broken", why.clone()),
    }
}

pub(super) fn verdicts(verdicts: &[Verdict], format: Format) -> String {
    let all = verdicts.iter().map(|verdict| (verdict.name.to_string(), state(&verdict.state)));
    match format {
        Format::Json => {
            let all: Vec<Value> = all
                .map(|(name, (state, detail))| json!({"name": name, "state": state, "detail": detail}))
                .collect();
            format!("{:#}\n", json!({ "models": all }))
        }
        Format::Text => {
            let rows: Vec<[String; 3]> =
                all.map(|(name, (state, detail))| [name, state.replace('_', " "), detail]).collect();
            table(["MODEL", "STATE", "DETAIL"], &rows)
        }
    }
}

/// A plan, and what came of it if it was carried out.
pub(super) fn plan(
    plan: &Plan,
    outcomes: Option<&[Result<(), PullError>]>,
    format: Format,
) -> (String, bool) {
    let fine = outcomes.is_none_or(|outcomes| outcomes.iter().all(Result::is_ok));
    let error = |index: usize| outcomes.and_then(|outcomes| outcomes.get(index)?.as_ref().err());
    if format == Format::Json {
        let steps: Vec<Value> = plan
            .0
            .iter()
            .enumerate()
            .map(|(index, planned)| {
                let error =
                    error(index).map(|error| json!({"code": error.code(), "message": error.to_string()}));
                json!({
                    "task": planned.task, "size": planned.size, "frees": planned.frees,
                    "done": outcomes.is_some() && error.is_none(), "error": error,
                })
            })
            .collect();
        return (format!("{:#}\n", json!({"applied": outcomes.is_some(), "steps": steps})), fine);
    }
    let mut text = String::new();
    for (index, planned) in plan.0.iter().enumerate() {
        let _ = match &planned.task {
            Task::Move { from, to } => write!(text, "move\t{from}\t{to}"),
            Task::Remove { name } => write!(text, "remove\t{name}\t{}", bytes(planned.size)),
        };
        if let Some(error) = error(index) {
            let _ = write!(text, "\tnot done: {error}");
        }
        text.push('\n');
    }
    let _ = match (plan.0.is_empty(), outcomes.is_some()) {
        (true, _) => writeln!(text, "nothing to do"),
        (false, true) => Ok(()),
        (false, false) => {
            writeln!(text, "nothing was done yet: --apply does it, and frees {}", bytes(plan.frees()))
        }
    };
    (text, fine)
}

/// What is needed and what is there. It is fine if nothing is missing.
pub(super) fn report(
    needed: &[Needed],
    models: &[Model],
    duplicates: &[Duplicate],
    format: Format,
) -> (String, bool) {
    let there = |one: &Needed| models.iter().find(|model| model.name.to_string() == one.name());
    let missing = |one: &&Needed| there(one).is_none() && !one.by_node;
    let lacks = needed.iter().filter(missing).count();
    let wasted: u64 = duplicates.iter().map(Duplicate::wasted).sum();
    if format == Format::Json {
        let all: Vec<Value> = needed
            .iter()
            .map(|one| {
                json!({
                    "name": one.name(), "present": there(one).is_some(), "by_node": one.by_node,
                    "size": there(one).map(|model| model.size).or(one.size),
                    "sources": one.sources(), "workflows": one.workflows,
                })
            })
            .collect();
        let twice: Vec<Value> = duplicates
            .iter()
            .map(|one| {
                let names: Vec<String> = one.names.iter().map(ToString::to_string).collect();
                json!({"sha256": one.sha256, "size": one.size, "names": names, "wasted": one.wasted()})
            })
            .collect();
        let report = json!({"models": all, "missing": lacks, "duplicates": twice, "wasted": wasted});
        return (format!("{report:#}\n"), lacks == 0);
    }
    let rows: Vec<[String; 5]> = needed
        .iter()
        .map(|one| {
            let state = match there(one) {
                Some(_) => "present",
                None if one.by_node => "by a node",
                None if one.sources().is_empty() => "missing, no source",
                None => "missing",
            };
            let size = there(one).map(|model| model.size).or(one.size).map(bytes).unwrap_or_default();
            let workflows: Vec<&str> = one.workflows.iter().map(String::as_str).collect();
            [one.name(), state.to_owned(), size, workflows.join(", "), one.sources().join(" ")]
        })
        .collect();
    let mut text = table(["MODEL", "STATE", "SIZE", "NEEDED BY", "SOURCES"], &rows);
    let _ = writeln!(text, "{} needed, {lacks} missing", needed.len());
    for one in duplicates {
        let names: Vec<String> = one.names.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "the same content: {} ({} wasted)", names.join(", "), bytes(one.wasted()));
    }
    (text, lacks == 0)
}
