//! Jobs at a steady rate through engines that take no time: what is added to them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use comfyport_store::claim::prompt_id;
use serde_json::{Value, json};

use crate::{millis, process::Process, quantile};

const RATE: u32 = 200;
const SECONDS: u32 = 10;
const ENGINES: usize = 4;

pub(crate) async fn run() {
    let engines: Vec<Process> = (0..ENGINES).map(|_| Process::simulator()).collect();
    let urls: Vec<&str> = engines.iter().map(|engine| engine.url.as_str()).collect();
    let server = Process::server_with(&urls, &[]);
    let http = crate::client();
    // Lists are read, connections are made.
    for seed in 0..20 {
        one(&http, &server.url, seed, Instant::now()).await;
    }
    let began = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..RATE * SECONDS {
        let due = began + Duration::from_secs(1) * number / RATE;
        tokio::time::sleep_until(due.into()).await;
        let (http, url) = (http.clone(), server.url.clone());
        // From when it was due: whoever comes late because others are slow has waited, too.
        tasks.push(tokio::spawn(async move { one(&http, &url, 1000 + u64::from(number), due).await }));
    }
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    let rate = done.len() as f64 / began.elapsed().as_secs_f64();
    let engine_times = engine_times(&http, &engines).await;
    let mut added: Vec<Duration> = done
        .iter()
        .map(|(id, took)| {
            let prompt = prompt_id(*id, 1).to_string();
            took.saturating_sub(engine_times.get(&prompt).copied().unwrap_or_default())
        })
        .collect();
    added.sort_unstable();
    let [p50, p99, last] = [0.5, 0.99, 1.0].map(|part| millis(quantile(&added, part)));
    println!("jobs at {RATE}/s through {ENGINES} engines {rate:>6.1} /s");
    println!("added latency p50, p99, max   {p50:>9.1} ms {p99:.1} ms {last:.1} ms");
    println!("p99 / 50 ms                   {:>9.2}", p99 / 50.0);
}

async fn one(http: &reqwest::Client, url: &str, seed: u64, due: Instant) -> (uuid::Uuid, Duration) {
    let body = json!({"prompt": "a lighthouse", "seed": seed, "width": 64, "height": 64, "steps": 1});
    let answer = http.post(format!("{url}/sd15/txt2img")).json(&body).send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert!(status.is_success(), "{body}");
    (body["id"].as_str().unwrap().parse().unwrap(), due.elapsed())
}

/// How long each prompt was at its engine, from being received to its end.
async fn engine_times(http: &reqwest::Client, engines: &[Process]) -> HashMap<String, Duration> {
    let (mut received, mut took) = (HashMap::new(), HashMap::new());
    for engine in engines {
        let ledger = http.get(format!("{}/simulator/ledger", engine.url)).send().await.unwrap();
        for entry in ledger.json::<Vec<Value>>().await.unwrap() {
            let (Some(prompt), Some(at)) = (entry["prompt_id"].as_str(), entry["at"].as_u64()) else {
                continue;
            };
            match entry["event"].as_str() {
                Some("received") => {
                    received.insert(prompt.to_owned(), at);
                }
                Some("succeeded") => {
                    let since = at.saturating_sub(received.get(prompt).copied().unwrap_or(at));
                    took.insert(prompt.to_owned(), Duration::from_millis(since));
                }
                _ => {}
            }
        }
    }
    took
}
