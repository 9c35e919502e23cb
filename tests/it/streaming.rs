//! Films that are larger than what the server may hold: from an engine, through the disk, to those who fetch them.

use std::{
    io::{Read as _, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::process::{Comfyport, command};

/// What the server held at most, in bytes, while a film of a little more than this passed: before, while it came from
/// the engine, while it was fetched.
async fn film_passes(bytes: u32) -> [u64; 3] {
    let engine = Comfyport::simulator();
    let data = tempfile::tempdir().unwrap();
    let place = ["--data-dir", data.path().to_str().unwrap()];
    let made = command(&[&["keys", "create", "ann"][..], &place].concat()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let server = Comfyport::lasting(engine.url(), data.path(), &[]);
    let post =
        |body: serde_json::Value| server.post("/wan/txt2video").bearer_auth(&key).body(body.to_string());
    let small = json!({"prompt": "a fox", "width": 64, "height": 64, "steps": 1, "seed": 1});
    server.expect(post(small.clone()), 200).await;
    let before = server.memory();

    let most = AtomicU64::new(before);
    let note = || most.fetch_max(server.memory(), Ordering::Relaxed);
    let mut request = small;
    request["seed"] = 2.into();
    let fault = json!({"next": [{"kind": "long-film", "bytes": bytes}]});
    assert!(
        engine.post("/simulator/faults").body(fault.to_string()).send().await.unwrap().status().is_success()
    );
    let run = server.expect(post(request), 200);
    let watch = async {
        loop {
            note();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let answer = tokio::select! { answer = run => answer.json(), () = watch => unreachable!() };
    let coming = most.swap(before, Ordering::Relaxed);
    let film = answer["outputs"].as_object().unwrap().values().next().unwrap()[0].clone();
    assert!(film["size"].as_u64().unwrap() > u64::from(bytes), "{film}");

    let fetched = server.get(film["url"].as_str().unwrap()).bearer_auth(&key).send().await.unwrap();
    assert_eq!(fetched.status(), 200);
    let (mut hash, mut length, mut body) = (Sha256::new(), 0, fetched.bytes_stream());
    while let Some(chunk) = body.next().await {
        let chunk = chunk.unwrap();
        length += chunk.len() as u64;
        hash.update(&chunk);
        note();
    }
    assert_eq!(film["size"], length);
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(film["sha256"], hash);
    [before, coming, most.load(Ordering::Relaxed)]
}

/// The figures of a film in words.
fn told(size: &str, [before, coming, going]: [u64; 3]) -> String {
    assert!(coming.max(going) - before < 16 << 20, "a part of it is held");
    let [before, coming, going] = [before, coming, going].map(|bytes| bytes >> 20);
    format!("a film of {size}: {before} MiB resident, at most {coming} while it comes, {going} while it goes")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_passes_and_is_never_whole_in_memory() {
    println!("{}", told("64 MiB", film_passes(64 << 20).await));
}

/// `cargo test --release --test it -- --ignored --nocapture two_gigabytes`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "two gigabytes, to read the figures"]
async fn two_gigabytes_pass() {
    println!("{}", told("2 GiB", film_passes(2 << 30).await));
}

/// Readers who take the head and then nothing: what the server holds for each.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_slow_readers_of_a_film_hold_little() {
    const READERS: u64 = 100;
    let engine = Comfyport::simulator();
    let server = Comfyport::in_front_of(engine.url());
    let fault = json!({"next": [{"kind": "long-film", "bytes": 50 << 20}]});
    assert!(
        engine.post("/simulator/faults").body(fault.to_string()).send().await.unwrap().status().is_success()
    );
    let request = json!({"prompt": "a fox", "width": 64, "height": 64, "steps": 1});
    let answer = server.call("/wan/txt2video", &request, 200).await;
    let url = answer["outputs"].as_object().unwrap().values().next().unwrap()[0]["url"].clone();
    let before = server.memory();
    let head = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", url.as_str().unwrap());
    let mut readers: Vec<_> = (0..READERS).map(|_| server.connect()).collect();
    let mut most = before;
    for reader in &mut readers {
        reader.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 1024];
        reader.read_exact(&mut first).unwrap();
        most = most.max(server.memory());
    }
    // Others are served meanwhile.
    for _ in 0..50 {
        server.read("/health", 200).await;
        most = most.max(server.memory());
    }
    println!("{READERS} slow readers of 50 MiB: {} KiB each", (most - before) / READERS / 1024);
    assert!(most - before < READERS * 512 * 1024, "{} MiB for {READERS} readers", (most - before) >> 20);
}
