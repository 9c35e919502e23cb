//! One caller's ten jobs, one after the other, while another has queued thousands, against the same ten on an idle server.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{millis, process::Process, quantile};

const QUEUED: u64 = 10_000;
const JOBS: u64 = 10;

pub(crate) async fn run() {
    let engine = Process::simulator_with(&["--step-delay", "5"]);
    let (server, keys) = Process::server_with_keys(&engine.url, &["noisy", "quiet"]);
    let http = crate::client();
    let send = |key: &str, seed: u64| {
        let body = json!({"prompt": "a lighthouse", "seed": seed, "width": 64, "height": 64, "steps": 4});
        http.post(format!("{}/sd15/txt2img", server.url)).bearer_auth(key).json(&body)
    };
    let ten = async |first: u64| {
        let mut took = Vec::new();
        for seed in first..first + JOBS {
            let began = Instant::now();
            let answer = send(&keys[1], seed).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
            answer.bytes().await.unwrap();
            took.push(began.elapsed());
        }
        took.sort_unstable();
        [0.5, 1.0].map(|part| quantile(&took, part))
    };
    ten(1).await;
    let alone = ten(100).await;
    for seed in 0..QUEUED {
        let answer = send(&keys[0], 1000 + seed).header("prefer", "respond-async").send().await.unwrap();
        assert_eq!(answer.status(), 202);
    }
    let beside = ten(200).await;
    let ratio = |at: usize| beside[at].as_secs_f64() / alone[at].max(Duration::from_micros(1)).as_secs_f64();
    println!("ten jobs alone, median, max   {:>9.1} ms {:.1} ms", millis(alone[0]), millis(alone[1]));
    println!("beside {QUEUED} of another      {:>9.1} ms {:.1} ms", millis(beside[0]), millis(beside[1]));
    println!("beside / alone                {:>9.2} {:.2}", ratio(0), ratio(1));
}
