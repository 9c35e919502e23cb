//! Callers who do not give up, and what they were promised.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::watchers::Watchers;

/// Callers at the same time.
const CALLERS: usize = 8;

/// Requests are this many ahead of what engines have begun, so that submissions and faults fall together.
const AHEAD: usize = 40;

/// Whoever is refused or cut off waits this long before he tries again.
const PAUSE: Duration = Duration::from_millis(25);

/// Pictures of different sizes, so that nobody can be given another's without it being seen.
const SIZES: usize = 16;

/// What was asked for, and what was promised.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// The request by the job that was promised.
    pub(crate) acknowledged: HashMap<Uuid, usize>,
    /// Requests that were sent, those included whose answer was lost.
    pub(crate) submitted: usize,
    /// Answers that said: not now.
    pub(crate) refused: usize,
    /// Answers that did not come.
    pub(crate) unanswered: usize,
    /// Keys that led to two jobs, answers that nobody may get.
    pub(crate) faults: Vec<String>,
    /// How long submitting a job took, its repetitions included.
    pub(crate) took: Vec<Duration>,
}

/// Who they talk to, and what they talk about.
pub(crate) struct Callers {
    /// Addresses of servers, taken in turns.
    pub(crate) urls: Vec<String>,
    /// How many jobs.
    pub(crate) jobs: usize,
    /// How many prompts engines have begun or ended.
    pub(crate) progress: Arc<AtomicUsize>,
    /// Every so many jobs, somebody watches one.
    pub(crate) watch_every: usize,
    pub(crate) watchers: Watchers,
    /// Where they want to be told of the end.
    pub(crate) webhook: String,
    /// Ends the callers early.
    pub(crate) enough: Arc<AtomicBool>,
}

impl Callers {
    /// Submits everything, and answers what was promised.
    pub(crate) async fn submit(self) -> Promises {
        let (callers, next) = (Arc::new(self), Arc::new(AtomicUsize::new(0)));
        let promises = Arc::new(Mutex::new(Promises::default()));
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS.min(callers.jobs) {
            let (callers, next, promises) = (Arc::clone(&callers), Arc::clone(&next), Arc::clone(&promises));
            tasks.spawn(async move {
                let http = http();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= callers.jobs || callers.enough.load(Ordering::Relaxed) {
                        return;
                    }
                    callers.wait_for_turn(number).await;
                    callers.submit_one(&http, number, &promises).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut promises.lock().unwrap())
    }

    async fn wait_for_turn(&self, number: usize) {
        while self.progress.load(Ordering::Relaxed) / 2 + AHEAD < number
            && !self.enough.load(Ordering::Relaxed)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn submit_one(&self, http: &reqwest::Client, number: usize, promises: &Mutex<Promises>) {
        let began = Instant::now();
        // Not everybody names his requests: who does not, and hears nothing, asks for another job.
        let key = (!number.is_multiple_of(4)).then(|| format!("request-{number}"));
        for attempt in 0.. {
            let url = &self.urls[(number + attempt) % self.urls.len()];
            let mut request = http.post(format!("{url}/sd15/txt2img")).header("prefer", "respond-async");
            if let Some(key) = &key {
                request = request.header("idempotency-key", key);
            }
            if attempt == 0 || key.is_none() {
                promises.lock().unwrap().submitted += 1;
            }
            let answer = request.json(&body(number, Some(&self.webhook))).send().await;
            let told = match answer {
                Ok(answer) => {
                    let status = answer.status();
                    answer.json::<Value>().await.map(|body| (status, body))
                }
                Err(error) => Err(error),
            };
            match told {
                Ok((StatusCode::ACCEPTED, body)) => {
                    let id: Uuid = body["id"].as_str().unwrap().parse().unwrap();
                    self.promised(id, number, promises, began);
                    return;
                }
                Ok((status, body)) if body["retryable"] == true => {
                    assert!(matches!(status.as_u16(), 409 | 429 | 503), "{status} {body}");
                    promises.lock().unwrap().refused += 1;
                }
                Ok((status, body)) => {
                    promises.lock().unwrap().faults.push(format!("request {number}: {status} {body}"));
                    return;
                }
                Err(_) => promises.lock().unwrap().unanswered += 1,
            }
            if self.enough.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn promised(&self, id: Uuid, number: usize, promises: &Mutex<Promises>, began: Instant) {
        let mut promises = promises.lock().unwrap();
        promises.took.push(began.elapsed());
        if let Some(other) = promises.acknowledged.insert(id, number) {
            promises.faults.push(format!("requests {other} and {number} are both job {id}"));
        }
        if number.is_multiple_of(self.watch_every) {
            self.watchers.watch(id, self.urls.clone());
        }
    }
}

/// Without patience for servers that are frozen: somebody else may be awake.
pub(crate) fn http() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    let patience = Duration::from_secs(5);
    reqwest::Client::builder().connect_timeout(patience).timeout(patience).no_proxy().build().unwrap()
}

/// A request like no other, whose end is told to an address.
pub(crate) fn body(number: usize, webhook: Option<&str>) -> Value {
    let (width, height) = size(number);
    let mut body = json!({"prompt": format!("picture {number}"), "seed": number, "steps": 2, "width": width, "height": height});
    if let Some(webhook) = webhook {
        body["options"] = json!({"webhook": webhook});
    }
    body
}

/// Width and height of the picture of a request.
pub(crate) fn size(number: usize) -> (u32, u32) {
    let side = |step: usize| 64 + 8 * (step % SIZES) as u32;
    (side(number), side(number / SIZES))
}
