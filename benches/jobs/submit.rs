//! Submissions that nobody waits for, against what the disk does.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::process::{Process, written};

const CONCURRENCY: usize = 64;
const SECONDS: u64 = 5;

pub(crate) async fn run() {
    let engine = Process::simulator();
    let server = Process::server(&engine.url);
    let http = crate::client();
    let send = |path: &str, body: serde_json::Value| {
        http.post(format!("{}{path}", server.url)).header("prefer", "respond-async").json(&body).send()
    };
    // Known to the server, and then left out: jobs are accepted, and nothing else is written.
    let body =
        |seed: usize| json!({"prompt": "a lighthouse", "seed": seed, "width": 64, "height": 64, "steps": 1});
    assert!(send("/sd15/txt2img", body(0)).await.unwrap().status().is_success());
    assert!(send("/engines/comfyui:drain", json!({})).await.unwrap().status().is_success());
    let disk = server.data();
    let before = written(server.pid);
    let (commits, writes) = (metric(&server, COMMITS).await, metric(&server, WRITES).await);
    let began = Instant::now();
    let until = began + Duration::from_secs(SECONDS);
    let host = server.url.trim_start_matches("http://").to_owned();
    let tasks = (0..CONCURRENCY).map(|caller| {
        let host = host.clone();
        tokio::spawn(async move {
            let mut connection = Connection::open(&host).await;
            let mut done = 0_usize;
            while Instant::now() < until {
                connection.submit(&body((caller << 24) + done).to_string()).await;
                done += 1;
            }
            done
        })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        done += task.await.unwrap();
    }
    let took = began.elapsed().as_secs_f64();
    let commits = metric(&server, COMMITS).await - commits;
    let batch = (metric(&server, WRITES).await - writes) / commits;
    // As much as a commit wrote: the log, and what is brought home from it now and then.
    let appended = (written(server.pid) - before) as f64 / commits;
    let rates = [syncs(&disk, appended as usize), syncs(&disk, appended as usize)];
    let syncs = f64::midpoint(rates[0], rates[1]);
    let submitted = done as f64 / took;
    println!("submissions at concurrency {CONCURRENCY}  {submitted:>9.0} /s");
    println!("transactions in a commit      {batch:>9.1}");
    println!(
        "syncs of {:>5.0} KiB            {syncs:>9.0} /s  ({:.0}, {:.0})",
        appended / 1024.0,
        rates[0],
        rates[1]
    );
    println!("submissions / (syncs × batch) {:>9.2}", submitted / (syncs * batch));
}

/// A connection that does as little as a client can: what it does is taken from the server, on the same machine.
struct Connection {
    stream: TcpStream,
    head: String,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(host: &str) -> Self {
        let stream = TcpStream::connect(host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let head = format!(
            "POST /sd15/txt2img HTTP/1.1\r\nhost: {host}\r\nprefer: respond-async\r\n\
             content-type: application/json\r\ncontent-length: "
        );
        Self { stream, head, answer: Vec::with_capacity(4096) }
    }

    /// Submits, and reads the whole answer, which is 202.
    async fn submit(&mut self, body: &str) {
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer.clear();
        while !self.is_whole() {
            assert_ne!(self.stream.read_buf(&mut self.answer).await.unwrap(), 0, "it hung up");
        }
        assert!(self.answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&self.answer));
    }

    fn is_whole(&self) -> bool {
        let end = self.answer.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { return false };
        let head = std::str::from_utf8(&self.answer[..end]).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.expect("it has a length").parse().unwrap();
        self.answer.len() >= end + 4 + length
    }
}

const COMMITS: &str = "comfyport_store_commits_total";
const WRITES: &str = "comfyport_store_transaction_duration_seconds_count{kind=\"write\"}";

async fn metric(server: &Process, name: &str) -> f64 {
    let text = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().parse().unwrap()
}

/// How often a second so many bytes can be appended and synced.
fn syncs(folder: &Path, appended: usize) -> f64 {
    let path = folder.join("syncs");
    let mut file = File::create(&path).unwrap();
    let (block, mut count) = (vec![7; appended], 0_u32);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    rate
}
