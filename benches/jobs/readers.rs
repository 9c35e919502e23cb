//! A thousand readers of events of running jobs.

use std::time::Instant;

use serde_json::{Value, json};

use crate::process::{Process, memory_mb};

const READERS: usize = 1000;
const JOBS: usize = 4;

pub(crate) async fn run() {
    let engines: Vec<Process> = (0..2).map(|_| Process::simulator_with(&["--step-delay", "50"])).collect();
    let urls: Vec<&str> = engines.iter().map(|engine| engine.url.as_str()).collect();
    let server = Process::server_with(&urls, &[("COMFYPORT_SERVER_MAX_CONNECTIONS", "4096")]);
    let http = crate::client();
    let mut jobs = Vec::new();
    for seed in 0..JOBS {
        let body = json!({"prompt": "a lighthouse", "seed": seed, "width": 64, "height": 64, "steps": 150});
        let request = http.post(format!("{}/sd15/txt2img", server.url)).header("prefer", "respond-async");
        let job: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
        jobs.push(job["id"].as_str().unwrap().to_owned());
    }
    let before = memory_mb(server.pid);
    let began = Instant::now();
    let readers = (0..READERS).map(|reader| {
        let (http, job) = (http.clone(), &jobs[reader % JOBS]);
        let url = format!("{}/jobs/{job}/events", server.url);
        tokio::spawn(async move {
            let mut answer = http.get(url).send().await.unwrap();
            let (mut events, mut text) = (0_usize, String::new());
            while let Some(chunk) = answer.chunk().await.unwrap() {
                text.push_str(&String::from_utf8_lossy(&chunk));
                events += text.matches("\n\n").count();
                if let Some(end) = text.rfind("\n\n") {
                    if text.contains("event: result") {
                        return (events, true);
                    }
                    text.drain(..end + 2);
                }
            }
            (events, false)
        })
    });
    let readers: Vec<_> = readers.collect();
    let mut most = before;
    let (mut events, mut ended) = (0, 0);
    for reader in readers {
        tokio::pin!(reader);
        loop {
            tokio::select! {
                done = &mut reader => {
                    let (seen, is_over) = done.unwrap();
                    events += seen;
                    ended += usize::from(is_over);
                    break;
                }
                () = tokio::time::sleep(std::time::Duration::from_millis(100)) => {
                    most = most.max(memory_mb(server.pid));
                }
            }
        }
    }
    let took = began.elapsed().as_secs_f64();
    let after = memory_mb(server.pid);
    println!("readers that saw the end      {ended:>9} of {READERS}");
    println!("events                        {:>9.0} /s", events as f64 / took);
    println!("memory before, during, after  {before:>9.1} MB {most:.1} MB {after:.1} MB");
    println!("memory for each reader        {:>9.1} KB", (most - before) * 1024.0 / READERS as f64);
}
