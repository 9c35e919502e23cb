//! Processes that are killed, and processes that want the same.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use comfyport_depot::{
    How, Sha256,
    testing::{Fault, FileHost, safetensors},
};
use tokio::{
    process::{Child, Command},
    sync::Notify,
};

use crate::{Home, pinned, read, ways};

const CHILD: &str = "COMFYPORT_DEPOT_CHILD";

/// Fetches what the variable says: a folder, an address and a hash. It is no test where the variable is not set.
#[tokio::test]
#[ignore = "run by other tests in a process of its own"]
async fn child() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let [folder, address, size, sha256] = task.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let mut home = Home::new();
    home.settings.cache = Path::new(folder).join("cache");
    home.settings.models = Path::new(folder).join("models");
    let mut wanted = pinned(address, b"");
    (wanted.size, wanted.sha256) = (Some(size.parse().unwrap()), Some(sha256.parse::<Sha256>().unwrap()));
    let pulled = home.pull_with(ways(), &wanted).await.unwrap();
    println!("outcome {:?} {}", pulled.how, home.told().contains("Waiting"));
}

fn start(home: &Home, address: &str, content: &[u8]) -> Child {
    let task =
        format!("{} {address} {} {}", home.folder.path().display(), content.len(), Sha256::of(content));
    Command::new(std::env::current_exe().unwrap())
        .args(["children::child", "--exact", "--ignored", "--nocapture"])
        .env(CHILD, task)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits until something holds. Tests that wait in vain are ended by their runner.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How much the state of the only part says is on the disk.
fn synced(home: &Home) -> u64 {
    let state =
        home.files("cache/parts").into_iter().find(|file| file.ends_with(".json") && !file.starts_with('.'));
    let text = state
        .and_then(|state| std::fs::read_to_string(home.folder.path().join("cache/parts").join(state)).ok());
    let text = text.unwrap_or_default();
    let count = text.rsplit_once("\"synced\":").map(|(_, rest)| rest.trim_end_matches('}').to_owned());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_killed_process_is_gone_on_with_and_ends_with_the_right_hash() {
    let content = safetensors(1, 4 << 20);
    let host = FileHost::start().await;
    host.put("/x", content.clone());
    let address = host.host.at("/x");
    let home = Home::new();
    // Twice, at different places.
    for at in [1 << 20, 1 << 20] {
        let before = synced(&home);
        let never = Arc::new(Notify::new());
        host.fault(Fault::Hold(at, never));
        let mut killed = start(&home, &address, &content);
        until(|| synced(&home) > before).await;
        // `kill -9`.
        killed.kill().await.unwrap();
        home.assert_nothing_visible();
    }
    let half = synced(&home);
    assert!(half > 1 << 20, "{half}");
    let pulled = home.pull_with(ways(), &pinned(&address, &content)).await.unwrap();
    assert_eq!(pulled.how, How::Fetched { bytes: content.len() as u64 - half, resumed: half });
    assert_eq!(Sha256::of(&read(&pulled.path)), Sha256::of(&content));
    assert_eq!(host.host.seen().last().unwrap().header("range"), Some(format!("bytes={half}-").as_str()));
    assert!(home.files("cache/parts").is_empty());
}

#[tokio::test]
async fn of_two_processes_one_fetches_and_the_other_waits() {
    let content = safetensors(2, 2 << 20);
    let host = FileHost::start().await;
    host.put("/x", content.clone());
    let address = host.host.at("/x");
    let home = Home::new();
    let go_on = Arc::new(Notify::new());
    host.fault(Fault::Hold(1 << 20, Arc::clone(&go_on)));
    let first = start(&home, &address, &content);
    until(|| synced(&home) > 0).await;
    let wanted = pinned(&address, &content);
    let waits = home.pull_with(ways(), &wanted);
    let lets_go = async {
        until(|| home.told().contains("Waiting")).await;
        go_on.notify_one();
    };
    let (waited, ()) = tokio::join!(waits, lets_go);
    let waited = waited.unwrap();
    assert!(matches!(waited.how, How::Cached | How::Present), "{:?}", waited.how);
    let out = first.wait_with_output().await.unwrap();
    let out = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.contains("outcome Fetched") && out.contains("false"), "{out}");
    assert_eq!(host.host.seen().len(), 1);
    assert_eq!(read(&waited.path), content);
}
