//! What comfyport itself costs, measured against calling the engine directly, in one run.
//!
//! `cargo bench --bench server` starts the real binary twice, as a simulator and as a server in front of it, and
//! compares a client of the typed endpoint with a client that speaks ComfyUI's protocol to the same simulator:
//! submit, wait on the WebSocket, read the history, fetch the picture. It prints ratios; it asserts nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod client;
#[allow(dead_code, reason = "shared with the other benchmark")]
mod process;

use std::time::{Duration, Instant};

use client::{Direct, Endpoint};
use process::{Process, cpu_seconds, peak_memory_mb};

const LATENCY_ROUNDS: usize = 400;
const THROUGHPUT_SECONDS: u64 = 5;
const CONCURRENCY: usize = 64;
const REJECTION_SECONDS: u64 = 3;

fn main() {
    let mut arguments = std::env::args();
    if arguments.any(|argument| argument == "--echo") {
        return process::echo_server();
    }
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let simulator = Process::simulator();
    let started = Instant::now();
    let server = Process::server(&simulator.url);
    server.first_health().await;
    println!("start to first /health        {:>9.1} ms", started.elapsed().as_secs_f64() * 1e3);
    println!("memory after start            {:>9.1} MB", peak_memory_mb(server.pid));

    latency(&simulator, &server).await;
    throughput(&simulator, &server).await;
    println!("peak memory of the server     {:>9.1} MB", peak_memory_mb(server.pid));
    rejections(&server).await;
}

async fn latency(simulator: &Process, server: &Process) {
    let mut direct = Direct::connect(&simulator.url).await;
    let endpoint = Endpoint::new(&server.url);
    let (mut directly, mut typed) = (Vec::new(), Vec::new());
    for round in 0..LATENCY_ROUNDS {
        let seed = round as u64 * 2;
        let clock = Instant::now();
        direct.run(seed).await;
        directly.push(clock.elapsed());
        let clock = Instant::now();
        endpoint.run(seed + 1).await;
        typed.push(clock.elapsed());
    }
    let (directly, typed) = (median(&mut directly), median(&mut typed));
    println!("direct run, median            {:>9.3} ms", millis(directly));
    println!("typed run, median             {:>9.3} ms", millis(typed));
    println!("added latency at concurrency 1 {:>8.3} ms", millis(typed) - millis(directly));
}

async fn throughput(simulator: &Process, server: &Process) {
    let until = Instant::now() + Duration::from_secs(THROUGHPUT_SECONDS);
    let mut tasks = Vec::new();
    for worker in 0..CONCURRENCY as u64 {
        let mut direct = Direct::connect(&simulator.url).await;
        tasks.push(tokio::spawn(async move {
            let mut done = 0_u64;
            while Instant::now() < until {
                direct.run((1 << 40) + (worker << 24) + done).await;
                done += 1;
            }
            done
        }));
    }
    let directly = total(tasks).await;

    let until = Instant::now() + Duration::from_secs(THROUGHPUT_SECONDS);
    let endpoint = Endpoint::new(&server.url);
    let tasks = (0..CONCURRENCY as u64).map(|worker| {
        let endpoint = endpoint.clone();
        tokio::spawn(async move {
            let mut done = 0_u64;
            while Instant::now() < until {
                endpoint.run((1 << 41) + (worker << 24) + done).await;
                done += 1;
            }
            done
        })
    });
    let typed = total(tasks.collect()).await;
    let per_second = |count: u64| count as f64 / THROUGHPUT_SECONDS as f64;
    println!("direct runs at concurrency {CONCURRENCY} {:>9.0} /s", per_second(directly));
    println!("typed runs at concurrency {CONCURRENCY}  {:>9.0} /s", per_second(typed));
    println!("throughput ratio              {:>9.2}", typed as f64 / directly as f64);
}

async fn total(tasks: Vec<tokio::task::JoinHandle<u64>>) -> u64 {
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    sum
}

/// Rejections and echoes are both counted per second of *server* processor time, so that the load generator's own
/// appetite does not enter the figure.
async fn rejections(server: &Process) {
    let echo = Process::echo();
    let rejected = per_cpu_second(server, "/sd15/txt2img", r#"{"prmopt":"x","steps":0}"#, 422).await;
    let echoed = per_cpu_second(&echo, "/", r#"{"prmopt":"x","steps":0}"#, 200).await;
    println!("422 answers per core          {rejected:>9.0} /s");
    println!("bare axum JSON echo per core  {echoed:>9.0} /s");
    println!("rejection cost over echo      {:>9.2}", echoed / rejected);
}

async fn per_cpu_second(process: &Process, path: &str, body: &str, expected: u16) -> f64 {
    let before = cpu_seconds(process.pid);
    let until = Instant::now() + Duration::from_secs(REJECTION_SECONDS);
    let tasks = (0..16).map(|_| {
        let mut connection = client::Raw::connect(&process.url);
        let request = connection.request(path, body);
        tokio::task::spawn_blocking(move || {
            let mut done = 0_u64;
            while Instant::now() < until {
                assert_eq!(connection.exchange(&request), expected);
                done += 1;
            }
            done
        })
    });
    let done = total(tasks.collect()).await;
    done as f64 / (cpu_seconds(process.pid) - before)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
