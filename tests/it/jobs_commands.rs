//! `comfyport jobs`, as people and scripts use it.

use std::{
    io::{BufRead, BufReader, Read as _},
    process::{Child, Output, Stdio},
    time::Duration,
};

use comfyport_simulator::{Fault, Options, Simulator};
use serde_json::{Value, json};

use crate::process::{Comfyport, command};

const PAINT: &str = "/sd15/txt2img";

async fn ask(server: &Comfyport, steps: u32, tag: &str) -> String {
    let request = json!({"prompt": "a fox", "steps": steps, "options": {"tags": [tag]}});
    let request = server.post(PAINT).header("prefer", "respond-async").body(request.to_string());
    server.expect(request, 202).await.json()["id"].as_str().unwrap().to_owned()
}

fn jobs(server: &Comfyport, arguments: &[&str]) -> Output {
    command(&[&["jobs"], arguments, &["--server", server.url()]].concat()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it says, if it exits with this code.
fn says(server: &Comfyport, arguments: &[&str], code: i32) -> String {
    let output = jobs(server, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {}{errors}\n{}",
        said(&output),
        server.log()
    );
    said(&output)
}

/// A server before an engine whose steps take so long.
async fn slow(milliseconds: u64) -> (Simulator, Comfyport) {
    let step_delay = Duration::from_millis(milliseconds);
    let engine = Simulator::start(Options { step_delay, ..Options::default() }).await.unwrap();
    let server = Comfyport::in_front_of(&engine.url());
    (engine, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_shown_and_repeated() {
    let server = Comfyport::simulated();
    let first = ask(&server, 1, "one").await;
    let second = ask(&server, 1, "two").await;
    for id in [&first, &second] {
        assert!(says(&server, &["tail", id], 0).lines().last().unwrap().contains("succeeded"));
    }
    let list = says(&server, &["list"], 0);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0][..3], ["JOB", "STATUS", "WORKFLOW"]);
    assert_eq!(rows[1][..3], [second.as_str(), "succeeded", "sd15/txt2img"]);
    assert_eq!((rows.len(), rows[2][0]), (3, first.as_str()));
    assert_eq!(says(&server, &[], 0), list);
    let tagged: Value =
        serde_json::from_str(&says(&server, &["list", "--tag", "one", "--format", "json"], 0)).unwrap();
    assert_eq!(tagged["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(tagged["jobs"][0]["id"], json!(first));
    assert_eq!(says(&server, &["list", "--status", "queued,running"], 0).lines().count(), 1);
    assert_eq!(says(&server, &["list", "--limit", "1", "--workflow", "sd15/txt2img"], 0).lines().count(), 2);

    let shown = says(&server, &["show", &first], 0);
    assert!(shown.contains("status\tsucceeded") && shown.contains("params.prompt\ta fox"), "{shown}");
    let again: Value =
        serde_json::from_str(&says(&server, &["retry", &first, "--format", "json"], 0)).unwrap();
    let again = again["id"].as_str().unwrap();
    assert_ne!(again, first);
    says(&server, &["tail", again], 0);
    let seed = |id: &str| {
        says(&server, &["show", id], 0).lines().find(|line| line.contains("seed")).unwrap().to_owned()
    };
    assert_eq!(seed(again), seed(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_followed_line_by_line() {
    let (engine, server) = slow(50).await;
    let id = ask(&server, 20, "x").await;
    let lines = says(&server, &["tail", &id], 0);
    assert!(lines.lines().all(|line| line.starts_with(&format!("{id}\t"))), "{lines}");
    let percents: Vec<u32> = lines
        .lines()
        .filter_map(|line| line.split_once("\tprogress\t")?.1.split_once(" %")?.0.parse().ok())
        .collect();
    assert!(percents.len() > 3 && percents.is_sorted(), "{lines}");
    assert!(
        lines.contains("\trunning\t") && lines.contains(&format!("/jobs/{id}/outputs/image/0")),
        "{lines}"
    );
    assert!(!lines.contains('\x1b'), "{lines:?}");
    // Who comes late sees the end.
    assert!(says(&server, &["tail", &id], 0).contains("succeeded"));

    engine.faults().next(Fault::Exception);
    let failed = ask(&server, 1, "x").await;
    assert!(
        says(&server, &["tail", &failed], 1)
            .lines()
            .last()
            .unwrap()
            .starts_with(&format!("{failed}\tfailed\t"))
    );

    let events = says(&server, &["tail", &id, "--format", "json"], 0);
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.last().unwrap()["event"], "result");
    assert!(events.iter().all(|event| event["job"] == json!(id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_runs_is_followed_until_nothing_does() {
    let (_engine, server) = slow(20).await;
    let (first, second) = (ask(&server, 20, "x").await, ask(&server, 20, "x").await);
    let lines = says(&server, &["tail"], 0);
    for id in [first, second] {
        assert!(lines.lines().any(|line| line.starts_with(&format!("{id}\tsucceeded"))), "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_cancelled() {
    let (_engine, server) = slow(100).await;
    let running = ask(&server, 100, "x").await;
    let mut tail = follow(&server, &["tail", &running]);
    let mut lines = BufReader::new(tail.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("running") {
        assert_ne!(lines.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    // The engine has room for some of them.
    let mut behind = Vec::new();
    for _ in 0..4 {
        behind.push(ask(&server, 100, "x").await);
    }
    let waiting = behind.pop().unwrap();
    let cancelled = says(&server, &["cancel", &waiting, &running], 0);
    assert_eq!(cancelled, format!("{waiting}\tcancelled\n{running}\tcancelling\n"));
    lines.read_to_string(&mut seen).unwrap();
    assert!(seen.lines().last().unwrap().starts_with(&format!("{running}\tcancelled\t")), "{seen}");
    assert_eq!(tail.wait().unwrap().code(), Some(1));
    let behind: Vec<&str> = behind.iter().map(String::as_str).collect();
    says(&server, &[&["cancel"], &behind[..]].concat(), 0);
    // What has ended stays as it is.
    assert_eq!(says(&server, &["cancel", &waiting], 0), format!("{waiting}\tcancelled\n"));
    let done = ask(&server, 1, "x").await;
    says(&server, &["tail", &done], 0);
    assert_eq!(says(&server, &["cancel", &done], 1), "");
}

fn follow(server: &Comfyport, arguments: &[&str]) -> Child {
    let mut command = command(&[&["jobs"], arguments, &["--server", server.url()]].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_until_nobody_reads() {
    let (_engine, server) = slow(20).await;
    let mut watch = follow(&server, &["list", "--watch"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap());
    let id = ask(&server, 100, "x").await;
    let mut seen = String::new();
    while !seen.contains("succeeded") {
        assert_ne!(lines.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    assert!(seen.lines().all(|line| line.starts_with(&id)), "{seen}");
    drop(lines);
    // The next change finds the pipe closed.
    ask(&server, 1, "x").await;
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_followed_further() {
    let engine = Simulator::start(Options { step_delay: Duration::from_millis(50), ..Options::default() });
    let engine = engine.await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let server = Comfyport::in_front_of_in(&engine.url(), data.path(), "127.0.0.1:0");
    let id = ask(&server, 60, "x").await;
    let mut tail = follow(&server, &["tail", &id]);
    let mut lines = BufReader::new(tail.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("progress") {
        assert_ne!(lines.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    let address = server.url().trim_start_matches("http://").to_owned();
    drop(server);
    let _server = Comfyport::in_front_of_in(&engine.url(), data.path(), &address);
    lines.read_to_string(&mut seen).unwrap();
    assert_eq!(tail.wait().unwrap().code(), Some(0), "{seen}");
    assert!(seen.contains("\tlost\t") && seen.lines().last().unwrap().contains("\tsucceeded\t"), "{seen}");
    assert_eq!(seen.matches("\trunning\t").count(), 1, "{seen}");
}

#[test]
fn what_cannot_be_asked_exits_with_2() {
    let at_nobody = ["--server", "http://127.0.0.1:9"];
    for arguments in
        [&["jobs", "list"][..], &["jobs", "show", "0d5c6b1f-8a3e-4f0f-9a7d-2c4b6e8f0a1b"], &["jobs", "tail"]]
    {
        let output = command(&[arguments, &at_nobody].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("nothing answers there"));
    }
    for arguments in [&["jobs", "show", "x"][..], &["jobs", "cancel"], &["jobs", "list", "--status", "lost"]]
    {
        assert_eq!(command(arguments).output().unwrap().status.code(), Some(2));
    }
    let server = Comfyport::simulated();
    assert_eq!(says(&server, &["show", "0d5c6b1f-8a3e-4f0f-9a7d-2c4b6e8f0a1b"], 2), "");
    assert_eq!(says(&server, &["tail", "0d5c6b1f-8a3e-4f0f-9a7d-2c4b6e8f0a1b"], 2), "");
}
