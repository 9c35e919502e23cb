//! People who watch jobs, and come back after every interruption.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::StatusCode;
use tokio::task::JoinSet;
use uuid::Uuid;

const PAUSE: Duration = Duration::from_millis(25);

/// What one of them saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) id: Uuid,
    /// Ends that he was told of.
    pub(crate) ends: usize,
    /// How often he had to come back.
    pub(crate) returns: usize,
    /// Events that he was told twice, or of which he was told in the wrong order.
    pub(crate) repeated: usize,
    /// The job was not there any more.
    pub(crate) is_gone: bool,
}

/// All of them. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watchers {
    tasks: Arc<Mutex<JoinSet<Seen>>>,
}

impl Watchers {
    /// Somebody watches a job at one of these servers, whichever answers.
    pub(crate) fn watch(&self, id: Uuid, urls: Vec<String>) {
        self.tasks.lock().unwrap().spawn(watch(id, urls));
    }

    /// Waits until everybody has seen the end.
    pub(crate) async fn all(&self) -> Vec<Seen> {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let mut seen = Vec::new();
        while let Some(one) = tasks.join_next().await {
            seen.push(one.unwrap());
        }
        seen
    }
}

async fn watch(id: Uuid, urls: Vec<String>) -> Seen {
    rustls::crypto::ring::default_provider().install_default().ok();
    // A server that is frozen says nothing, not even that it lives.
    let patience = Duration::from_secs(12);
    let http = reqwest::Client::builder().read_timeout(patience).no_proxy().build().unwrap();
    let (mut seen, mut last) = (Seen { id, ..Seen::default() }, 0_u64);
    loop {
        let url = format!("{}/jobs/{id}/events", urls[seen.returns % urls.len()]);
        let answer = http.get(url).header("last-event-id", last.to_string()).send().await;
        match answer {
            // Told to stay away: all of it was told.
            Ok(answer) if answer.status() == StatusCode::NO_CONTENT => return seen,
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => {
                seen.is_gone = true;
                return seen;
            }
            Ok(answer) if answer.status().is_success() => read(answer, &mut seen, &mut last).await,
            Ok(_) | Err(_) => {}
        }
        seen.returns += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads until the end or until something breaks.
async fn read(mut answer: reqwest::Response, seen: &mut Seen, last: &mut u64) {
    let mut text = String::new();
    while let Ok(Some(bytes)) = answer.chunk().await {
        text.push_str(&String::from_utf8_lossy(&bytes));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let Some(number) = line("id:").map(|number| number.parse::<u64>().unwrap()) {
                seen.repeated += usize::from(number <= *last);
                *last = number;
                seen.ends += usize::from(matches!(line("event:"), Some("result" | "problem")));
            }
            text = rest.to_owned();
        }
    }
}
