//! The three ledgers side by side.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use comfyport_store::{
    Job, Options, Render, State, Store, claim::prompt_id, deliveries::Webhook, list::Filter,
};
use uuid::Uuid;

use crate::{
    clients::{Promises, size},
    hall::{CONCURRENCY, Hall},
    watchers::Seen,
};

/// No job is tried so often.
const FENCES: i64 = 200;

/// Jobs in one look.
const PAGE: u32 = 500;

/// What became of everything.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    /// What happened, in words.
    pub(crate) faults: String,
    /// How many processes were killed or believed dead.
    pub(crate) kills: usize,
    /// How many requests, answers and sockets were lost on their way.
    pub(crate) lost_on_the_way: usize,
    pub(crate) in_flight: usize,
    pub(crate) submitted: usize,
    pub(crate) acknowledged: usize,
    pub(crate) succeeded: usize,
    pub(crate) failed: Vec<String>,
    pub(crate) lost: Vec<Uuid>,
    pub(crate) stuck: Vec<Uuid>,
    pub(crate) terminal_twice: Vec<Uuid>,
    pub(crate) phantoms: Vec<Uuid>,
    pub(crate) wrong_owner: Vec<Uuid>,
    pub(crate) re_executed: usize,
    pub(crate) watched: usize,
    pub(crate) returns: usize,
    pub(crate) recovery: Duration,
    pub(crate) webhooks: usize,
    pub(crate) webhooks_again: usize,
    pub(crate) complaints: Vec<String>,
}

impl Verdict {
    /// Everything in one line.
    fn line(&self) -> String {
        format!(
            "{}: seed {}, {}, {} cut off on the way: {} submitted, {} acknowledged, {} succeeded, {} failed, {} lost, {} stuck, {} terminal \
             twice, {} phantom, {} wrong owner, {} re-executed ≤ {} kills × {} in flight, {} watched over {} returns, {} \
             webhooks and {} repetitions, all ended {:.1} s after the last fault",
            self.name,
            self.seed,
            self.faults,
            self.lost_on_the_way,
            self.submitted,
            self.acknowledged,
            self.succeeded,
            self.failed.len(),
            self.lost.len(),
            self.stuck.len(),
            self.terminal_twice.len(),
            self.phantoms.len(),
            self.wrong_owner.len(),
            self.re_executed,
            self.kills,
            self.in_flight,
            self.watched,
            self.returns,
            self.webhooks,
            self.webhooks_again,
            self.recovery.as_secs_f64(),
        )
    }

    /// Prints the line, and fails the test if a promise was broken. Jobs may fail only where engines do not
    /// survive.
    pub(crate) fn judge(mut self, may_fail: bool, logs: &str) {
        if self.re_executed > self.kills * self.in_flight {
            self.complaints.push("more was executed again than was in flight".to_owned());
        }
        let none = |name: &str, ids: &[Uuid]| (!ids.is_empty()).then(|| format!("{name}: {ids:?}"));
        self.complaints.extend(none("lost", &self.lost));
        self.complaints.extend(none("stuck", &self.stuck));
        self.complaints.extend(none("terminal twice", &self.terminal_twice));
        self.complaints.extend(none("phantom", &self.phantoms));
        self.complaints.extend(none("wrong owner", &self.wrong_owner));
        if !may_fail {
            self.complaints.extend(self.failed.iter().cloned());
        }
        crate::say(&self.line());
        assert!(self.complaints.is_empty(), "{}\n{logs}", self.complaints.join("\n"));
    }

    /// Looks at what the servers still say: outputs belong to whoever asked for them.
    pub(crate) async fn see_outputs(&mut self, hall: &Hall, promises: &Promises) {
        let (mut pictures, mut asked) = (HashMap::new(), Vec::new());
        for (id, number) in &promises.acknowledged {
            let Some(job) = hall.ask(&format!("/jobs/{id}")).await else {
                self.lost.push(*id);
                continue;
            };
            if job["status"] == "succeeded" {
                let url = job["outputs"].as_object().and_then(|all| all.values().next()?[0]["url"].as_str());
                asked.push((*id, *number, url.map(str::to_owned)));
            }
        }
        for (id, number, url) in asked {
            let file = match url {
                Some(url) => fetch(hall, &url).await,
                None => None,
            };
            let Some(file) = file else {
                self.lost.push(id);
                continue;
            };
            if sides(&file) != Some(size(number)) || pictures.insert(file, id).is_some() {
                self.wrong_owner.push(id);
            }
        }
    }

    /// Looks at what is in the store, which nobody uses any more, and in the engines' ledgers.
    pub(crate) async fn see_records(&mut self, hall: &Hall, promises: &Promises) {
        let options = match &hall.plan.store {
            Some(url) => Options::Postgres { url: url.clone(), connections: 2 },
            None => Options::Sqlite(hall.data()),
        };
        // Opening a file checks whether it is whole.
        let opened = tokio::task::spawn_blocking(move || Store::open(&options, Arc::new(Wordless), |_| {}));
        let store = opened.await.unwrap().unwrap();
        let jobs = all(&store).await;
        for job in &jobs {
            let (_, events) = store.events(job.id, 0).await.unwrap().unwrap();
            let is_end = |kind: &str| kind.parse().is_ok_and(State::is_final);
            match events.iter().filter(|event| is_end(&event.kind)).count() {
                0 if !job.state.is_final() => self.stuck.push(job.id),
                1 if job.state.is_final() => {}
                _ => self.terminal_twice.push(job.id),
            }
            match job.state {
                State::Succeeded => self.succeeded += 1,
                State::Failed | State::Expired | State::Cancelled => {
                    let problem = job.problem.as_deref().unwrap_or("no reason");
                    self.failed.push(format!("{} {}: {problem}", job.id, job.state));
                }
                State::Queued | State::Running => {}
            }
        }
        let known: HashSet<Uuid> = jobs.iter().map(|job| job.id).collect();
        self.lost.extend(promises.acknowledged.keys().filter(|id| !known.contains(id)));
        self.count_executions(hall, &jobs);
        self.count_webhooks(hall, &known);
        tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
    }

    fn count_executions(&mut self, hall: &Hall, jobs: &[Job]) {
        let tries = |job: &Job| {
            let id = job.id;
            (1..=job.fence.min(FENCES)).map(move |fence| (prompt_id(id, fence), id))
        };
        let owners: HashMap<Uuid, Uuid> = jobs.iter().flat_map(tries).collect();
        let mut begun: HashMap<Uuid, usize> = HashMap::new();
        for (prompt, count) in hall.ledgers.iter().flat_map(crate::ledger::Ledger::begun) {
            match owners.get(&prompt) {
                Some(job) => *begun.entry(*job).or_default() += count,
                None => self.phantoms.push(prompt),
            }
        }
        self.re_executed = begun.values().map(|count| count - 1).sum();
        self.lost_on_the_way = hall.lost();
        self.in_flight = hall.engines.len() * CONCURRENCY;
        let unproven =
            jobs.iter().filter(|job| job.state == State::Succeeded && !begun.contains_key(&job.id));
        let unproven = unproven.map(|job| format!("{} succeeded and was never executed", job.id));
        self.complaints.extend(unproven);
    }

    fn count_webhooks(&mut self, hall: &Hall, known: &HashSet<Uuid>) {
        for (job, told) in hall.sink.told() {
            self.webhooks += told.names.len();
            self.webhooks_again += told.times - told.names.len();
            if told.names.len() > 1 {
                self.complaints.push(format!("{job}: webhooks tell of {} ends", told.names.len()));
            }
            if !known.contains(&job) {
                self.complaints.push(format!("{job}: webhooks tell of a job that nobody knows"));
            }
        }
    }

    pub(crate) fn see_promises(&mut self, promises: &Promises) {
        self.submitted = promises.submitted;
        self.acknowledged = promises.acknowledged.len();
        self.complaints.extend(promises.faults.iter().cloned());
    }

    pub(crate) fn see_watchers(&mut self, watchers: &[Seen]) {
        self.watched = watchers.len();
        self.returns = watchers.iter().map(|seen| seen.returns).sum();
        for seen in watchers {
            if seen.is_gone {
                self.lost.push(seen.id);
            } else if seen.ends > 1 {
                self.terminal_twice.push(seen.id);
            } else if seen.ends == 0 {
                self.stuck.push(seen.id);
            }
            if seen.repeated > 0 {
                self.complaints.push(format!("{}: {} events were told again", seen.id, seen.repeated));
            }
        }
    }
}

async fn fetch(hall: &Hall, url: &str) -> Option<Vec<u8>> {
    for server in &hall.servers {
        if let Ok(answer) = hall.http.get(format!("{}{url}", server.url())).send().await
            && answer.status().is_success()
            && let Ok(file) = answer.bytes().await
        {
            return Some(file.to_vec());
        }
    }
    None
}

/// Width and height of a PNG.
fn sides(file: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(file.get(at..at + 4)?.try_into().ok()?));
    file.starts_with(b"\x89PNG").then_some((number(16)?, number(20)?))
}

async fn all(store: &Store) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        let before = jobs.last().map(|job| job.seq);
        let page = store.list(Filter { before, ..Filter::default() }, PAGE).await.unwrap();
        if page.is_empty() {
            return jobs;
        }
        jobs.extend(page);
    }
}

/// Whoever only reads announces nothing.
#[derive(Debug)]
pub(crate) struct Wordless;

impl Render for Wordless {
    fn webhooks(&self, _: &Job, _: &Webhook, event: &str, _: i64) -> Vec<String> {
        vec![event.to_owned()]
    }
}
