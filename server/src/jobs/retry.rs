//! What becomes of a job whose try went wrong: a table, published in `docs/jobs.md`.

use std::time::Duration;

use comfyport_store::Job;

use crate::run::RunError;

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It failed.
    Fail,
    /// It failed because engines do not survive it.
    Park,
    /// Somebody cancelled it on the engine.
    Cancel,
    /// It is tried again.
    Again(Again),
}

/// How a job is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Again {
    /// Whether the try counts.
    pub(super) counts: bool,
    /// Whether the engine did not survive it.
    pub(super) crashed: bool,
    /// Whether another engine is better, if there is one.
    pub(super) elsewhere: bool,
    /// Whether the engine is to unload its models first.
    pub(super) free: bool,
    /// How long to wait.
    pub(super) pause: Option<Duration>,
}

/// After so many tries that engines did not survive, a job is parked.
pub(super) const CRASHES: u32 = 3;

/// After so many servers died while they had a job, it is parked.
pub(super) const TAKEOVERS: u32 = 10;

/// A job that runs out of memory is tried so often.
const OOM_ATTEMPTS: u32 = 2;

/// What becomes of `job` after `error`. `others`: whether another engine could run it.
pub(super) fn fate(error: &RunError, job: &Job, others: bool) -> Fate {
    let last = job.attempts >= job.max_attempts;
    let crash = Again { counts: true, crashed: true, elsewhere: true, ..Again::default() };
    let again = match error {
        RunError::Unreachable { .. } | RunError::NoEngine { .. } => {
            Again { elsewhere: true, pause: Some(Duration::from_millis(500)), ..Again::default() }
        }
        RunError::Lost | RunError::Away { .. } | RunError::Stalled if job.crashes + 1 >= CRASHES => {
            return Fate::Park;
        }
        RunError::Lost => Again { elsewhere: false, ..crash },
        RunError::Away { .. } | RunError::Stalled => crash,
        RunError::Protocol { .. } => {
            Again { counts: true, elsewhere: true, pause: Some(backoff(job.attempts)), ..Again::default() }
        }
        RunError::OutOfMemory { .. } if job.attempts >= OOM_ATTEMPTS => return Fate::Fail,
        RunError::OutOfMemory { .. } => {
            Again { counts: true, elsewhere: true, free: true, ..Again::default() }
        }
        RunError::NotReady { .. } | RunError::FileTooLarge { .. } if others => {
            Again { counts: true, elsewhere: true, ..Again::default() }
        }
        RunError::Cancelled => return Fate::Cancel,
        RunError::NotReady { .. }
        | RunError::FileTooLarge { .. }
        | RunError::Request { .. }
        | RunError::Rejected { .. }
        | RunError::Failed { .. }
        | RunError::Timeout { .. }
        | RunError::OutputMissing { .. }
        | RunError::Storage { .. }
        | RunError::Gone { .. }
        | RunError::Busy
        | RunError::Stopping => return Fate::Fail,
    };
    if again.counts && last { Fate::Fail } else { Fate::Again(again) }
}

/// 1 s, 2 s, 4 s … 30 s, each up to a quarter more or less.
fn backoff(attempts: u32) -> Duration {
    let seconds = 2_f64.powi(i32::try_from(attempts.clamp(1, 6)).unwrap_or(1) - 1).min(30.0);
    Duration::from_secs_f64(seconds * (0.75 + fastrand::f64() / 2.0))
}

#[cfg(test)]
mod tests {
    use comfyport_store::State;

    use super::*;
    use crate::{problem::Problem, readiness::Missing};

    fn job(attempts: u32, crashes: u32) -> Job {
        Job {
            seq: 1,
            id: uuid::Uuid::nil(),
            workflow: String::new(),
            owner: String::new(),
            state: State::Running,
            priority: 5,
            need: String::new(),
            created_at: 0,
            started_at: None,
            ended_at: None,
            deadline: None,
            run_after: None,
            fence: 1,
            attempts,
            max_attempts: 3,
            crashes,
            takeovers: 0,
            holder: None,
            engine: None,
            avoid: None,
            prompt_id: None,
            submitted: true,
            cancel: false,
            batch: None,
            batch_index: None,
            request: String::new(),
            options: String::new(),
            webhook: None,
            cache_key: None,
            events: 1,
            progress: None,
            result: None,
            problem: None,
        }
    }

    /// Every way a try can go wrong, and what that is in words.
    fn ways() -> Vec<(&'static str, RunError)> {
        let text = String::new;
        vec![
            (
                "the engine cannot be reached before it has the prompt",
                RunError::Unreachable { engine: text() },
            ),
            ("no engine takes work", RunError::NoEngine { why: text() }),
            (
                "the engine is away with the prompt, and another could run it",
                RunError::Away { engine: text() },
            ),
            ("the engine forgot the prompt: it was restarted", RunError::Lost),
            ("the engine answers and makes no progress", RunError::Stalled),
            ("the engine answers nonsense to a prompt", RunError::Protocol { engine: text(), why: text() }),
            ("memory ran out", RunError::OutOfMemory { message: text(), errors: Vec::new() }),
            (
                "the engine lacks a node class or model",
                RunError::NotReady { engine: text(), missing: Missing::default() },
            ),
            ("a file is larger than the engine takes", RunError::FileTooLarge { engine: text() }),
            ("the engine refuses the prompt", RunError::Rejected { message: text(), errors: Vec::new() }),
            ("a node fails", RunError::Failed { message: text(), errors: Vec::new() }),
            ("a try takes too long", RunError::Timeout { after: Duration::ZERO }),
            (
                "an output is missing or damaged, twice",
                RunError::OutputMissing { output: text(), why: text() },
            ),
            ("the workflow was removed or changed", RunError::Gone { why: text() }),
            ("somebody interrupts the prompt on the engine", RunError::Cancelled),
        ]
    }

    fn row(what: &str, error: RunError) -> String {
        let (alone, among) = (fate(&error, &job(1, 0), false), fate(&error, &job(1, 0), true));
        let code = match &error {
            RunError::NotReady { .. } => "workflow_not_ready",
            _ => "",
        };
        let words = |fate: Fate| match fate {
            Fate::Fail => "no".to_owned(),
            Fate::Park => "parked".to_owned(),
            Fate::Cancel => "no: it is cancelled".to_owned(),
            Fate::Again(again) => {
                let mut words = vec!["yes"];
                words.extend(again.free.then_some("after `/free`"));
                words.extend(again.elsewhere.then_some("elsewhere if possible"));
                words.extend(again.pause.is_some().then_some("after a pause"));
                words.join(", ")
            }
        };
        let counts = |fate: Fate| match fate {
            Fate::Again(again) if again.crashed => "yes, as a crash",
            Fate::Again(again) if again.counts => "yes",
            Fate::Again(_) => "no",
            Fate::Fail | Fate::Park | Fate::Cancel => "",
        };
        let tried = if words(alone) == words(among) {
            words(among)
        } else {
            format!("{}, if another engine could run it", words(among))
        };
        let problem = Problem::from(error);
        let code = if code.is_empty() { problem.code().as_str() } else { code };
        format!("| {what} | `{code}` | {tried} | {} |\n", counts(among))
    }

    /// `COMFYPORT_BLESS=1` writes the table anew.
    #[test]
    fn retries_are_published() {
        let mut table =
            "\n| what went wrong | code | tried again | counts as a try |\n|---|---|---|---|\n".to_owned();
        for (what, error) in ways() {
            table.push_str(&row(what, error));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/jobs.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (head, rest) = page.split_once("--lib retries` -->\n").unwrap();
        let (_, tail) = rest.split_once("<!-- /retries -->").unwrap();
        let wanted = format!("{head}--lib retries` -->\n{table}\n<!-- /retries -->{tail}");
        if std::env::var_os("COMFYPORT_BLESS").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), wanted);
    }

    #[test]
    fn tries_come_to_an_end() {
        let lost = |attempts, crashes| fate(&RunError::Lost, &job(attempts, crashes), true);
        assert!(matches!(lost(1, 0), Fate::Again(again) if again.counts && again.crashed));
        assert_eq!(lost(2, 2), Fate::Park);
        assert_eq!(lost(3, 1), Fate::Fail);
        let away = RunError::Unreachable { engine: String::new() };
        assert!(matches!(fate(&away, &job(3, 0), false), Fate::Again(again) if !again.counts));
        let oom = |attempts| {
            fate(
                &RunError::OutOfMemory { message: String::new(), errors: Vec::new() },
                &job(attempts, 0),
                true,
            )
        };
        assert!(matches!(oom(1), Fate::Again(again) if again.free));
        assert_eq!(oom(2), Fate::Fail);
    }
}
