//! Events, queue and history.

use std::time::Duration;

use comfyport_simulator::{LedgerEvent, Options, Simulator};
use serde_json::{Value, json};

use crate::client::{Frame, Socket, finished, get, kinds, post, request};

pub(crate) fn txt2img(seed: u64) -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {
            "seed": seed, "steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "any.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "t2i", "images": ["8", 0]}},
    })
}

async fn start(previews: bool) -> Simulator {
    Simulator::start(Options { previews, ..Options::default() }).await.unwrap()
}

#[tokio::test]
async fn events_come_in_the_order_of_comfyui() {
    let simulator = start(true).await;
    let mut socket = Socket::open(simulator.addr(), "me").await;
    socket.send(r#"{"type":"feature_flags","data":{"supports_preview_metadata":true}}"#).await;
    let status = socket.event().await;
    assert_eq!(
        status,
        json!({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "me"}})
    );
    assert_eq!(socket.event().await["data"]["max_upload_size"], 104_857_600);

    let answer = post(
        simulator.addr(),
        "/prompt",
        &json!({"prompt": txt2img(1), "client_id": "me", "prompt_id": "p"}),
    )
    .await;
    assert_eq!(answer.text(), r#"{"prompt_id": "p", "number": 0, "node_errors": {}}"#);
    assert!(answer.head.contains("content-type: application/json; charset=utf-8"), "{}", answer.head);
    let frames = socket.until_done().await;
    let mut expected = vec!["status", "status", "execution_start", "execution_cached"];
    // Inputs are walked in the order they are written in, here by name.
    for node in ["4", "6", "7", "5"] {
        expected.extend([
            "progress_state",
            ["executing 4", "executing 5", "executing 6", "executing 7"]
                [usize::from(node.as_bytes()[0] - b'4')],
            "progress_state",
        ]);
    }
    // With metadata the picture comes before its step.
    expected.extend(["progress_state", "executing 3", "progress_state", "binary 4", "progress 3"]);
    expected.extend(["progress_state", "binary 4", "progress 3", "progress_state"]);
    expected.extend(["progress_state", "executing 8", "progress_state"]);
    expected.extend(["progress_state", "executing 9", "executed 9", "progress_state"]);
    expected.extend(["execution_success", "status", "executing"]);
    assert_eq!(kinds(&frames), expected);

    let entry = finished(simulator.addr(), "p").await;
    assert_eq!(
        entry["outputs"],
        json!({"9": {"images": [{"filename": "t2i_00001_.png", "subfolder": "", "type": "output"}]}})
    );
    assert_eq!(entry["status"]["status_str"], "success");
    assert_eq!(entry["prompt"][4], json!(["9"]));
    let messages: Vec<_> =
        entry["status"]["messages"].as_array().unwrap().iter().map(|message| message[0].clone()).collect();
    assert_eq!(messages, ["execution_start", "execution_cached", "execution_success"]);
    simulator.stop().await;
}

#[tokio::test]
async fn a_prompt_that_was_just_run_comes_from_the_cache() {
    let simulator = start(false).await;
    let mut socket = Socket::open(simulator.addr(), "me").await;
    socket.event().await;
    for seed in [1, 1, 2] {
        post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(seed), "client_id": "me"})).await;
        let frames = socket.until_done().await;
        let cached = frames.iter().find_map(|frame| match frame {
            Frame::Text(text) if text.contains("execution_cached") => {
                serde_json::from_str::<Value>(text).ok()
            }
            _ => None,
        });
        let cached = cached.unwrap()["data"]["nodes"].clone();
        if seed == 2 {
            assert_eq!(cached, json!(["4", "5", "6", "7"]));
        }
        if kinds(&frames).len() == 9 {
            let expected = "status status execution_start execution_cached executed 9 progress_state execution_success status executing";
            assert_eq!(kinds(&frames).join(" "), expected);
            assert!(
                frames
                    .iter()
                    .any(|frame| matches!(frame, Frame::Text(text) if text.contains("t2i_00001_.png")))
            );
        }
    }
    simulator.stop().await;
}

#[tokio::test]
async fn only_the_submitter_hears_of_a_prompt() {
    let simulator = start(false).await;
    let mut me = Socket::open(simulator.addr(), "me").await;
    let mut other = Socket::open(simulator.addr(), "other").await;
    me.event().await;
    other.event().await;
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "client_id": "me", "prompt_id": "p"}))
        .await;
    me.until_done().await;
    for _ in 0..3 {
        assert_eq!(other.event().await["type"], "status");
    }
    // Without a client, progress goes to all, and nothing says that the prompt is over but the status.
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(2), "prompt_id": "q"})).await;
    finished(simulator.addr(), "q").await;
    let mut seen = Vec::new();
    while seen.iter().filter(|kind| *kind == "status").count() < 3 {
        seen.push(other.event().await["type"].as_str().unwrap().to_owned());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["progress", "progress_state", "status"]);
    simulator.stop().await;
}

#[tokio::test]
async fn what_runs_is_interrupted_and_what_waits_is_deleted() {
    let options = Options { step_delay: Duration::from_millis(20), ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let addr = simulator.addr();
    let mut socket = Socket::open(addr, "me").await;
    let mut long = txt2img(1);
    long["3"]["inputs"]["steps"] = json!(1000);
    for id in ["a", "b"] {
        post(addr, "/prompt", &json!({"prompt": long, "client_id": "me", "prompt_id": id})).await;
    }
    while socket.event().await["type"] != "progress" {}
    let queue = get(addr, "/queue").await.json();
    assert_eq!((&queue["queue_running"][0][1], &queue["queue_pending"][0][1]), (&json!("a"), &json!("b")));
    post(addr, "/interrupt", &json!({"prompt_id": "b"})).await;
    post(addr, "/queue", &json!({"delete": ["a", "b", "c"]})).await;
    assert_eq!(get(addr, "/prompt").await.json(), json!({"exec_info": {"queue_remaining": 1}}));
    post(addr, "/interrupt", &json!({"prompt_id": "a"})).await;
    let entry = finished(addr, "a").await;
    assert_eq!(entry["status"]["completed"], false);
    let last = entry["status"]["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last[0], &last[1]["node_id"], &last[1]["node_type"]),
        (&json!("execution_interrupted"), &json!("3"), &json!("KSampler"))
    );
    assert_eq!(get(addr, "/history/b").await.text(), "{}");
    assert_eq!(simulator.ledger().count(LedgerEvent::Started), 1);
    simulator.stop().await;
}

#[tokio::test]
async fn odd_requests_are_answered_like_aiohttp() {
    let simulator = start(false).await;
    let addr = simulator.addr();
    for path in ["/prompt", "/api/prompt", "/queue", "/history", "/free"] {
        let answer = request(addr, "POST", path, "", b"{bad").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (500, "500 Internal Server Error\n\nServer got itself in trouble")
        );
    }
    for (body, status) in [("{bad", 200), ("", 200), ("[]", 500)] {
        assert_eq!(request(addr, "POST", "/interrupt", "", body.as_bytes()).await.status, status);
    }
    let unknown = get(addr, "/api/jobs").await;
    assert_eq!((unknown.status, unknown.body.len()), (404, 0));
    let wrong = request(addr, "PUT", "/prompt", "", b"{}").await;
    assert_eq!((wrong.status, wrong.text().as_str()), (405, "405: Method Not Allowed"));
    assert_eq!(request(addr, "GET", "/features", "Origin: http://evil.com\r\n", b"").await.status, 403);
    assert_eq!(get(addr, "/object_info/NoSuchNode").await.text(), "{}");
    let info = get(addr, "/object_info").await.json();
    assert!(info.as_object().unwrap().len() > 480);
    assert_eq!(info["KSampler"]["input"]["required"]["seed"][1]["max"], u64::MAX);
    assert!(info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0].is_array());
    assert_eq!(get(addr, "/models/nope").await.status, 404);
    simulator.stop().await;
}
