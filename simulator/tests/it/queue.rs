//! The order of the queue, what is deleted from it, and what is interrupted.

use std::net::SocketAddr;

use comfyport_simulator::{Fault, LedgerEvent, Options, Simulator};
use serde_json::{Value, json};

use crate::{
    client::{Frame, Socket, finished, get, kinds, post, request, submit},
    protocol::txt2img,
};

/// A simulator in which prompt `first` of client `me` runs until the faults are cleared.
async fn busy() -> (Simulator, Socket) {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    simulator.faults().next(Fault::Stuck);
    let mut socket = Socket::open(simulator.addr(), "me").await;
    submit(simulator.addr(), &txt2img(1), "me", "first").await;
    while socket.event().await["data"]["node"] != "3" {}
    (simulator, socket)
}

/// Ids of what waits, in the order `/queue` shows.
async fn pending(addr: SocketAddr) -> Vec<String> {
    let queue = get(addr, "/queue").await.json();
    let items = queue["queue_pending"].as_array().unwrap().iter();
    items.map(|item| item[1].as_str().unwrap().to_owned()).collect()
}

/// How long the queue was, after each of its changes that was told.
fn lengths(frames: &[Frame]) -> Vec<u64> {
    let texts = frames.iter().filter_map(|frame| match frame {
        Frame::Text(text) => serde_json::from_str::<Value>(text).ok(),
        _ => None,
    });
    texts.filter_map(|event| event["data"]["status"]["exec_info"]["queue_remaining"].as_u64()).collect()
}

#[tokio::test]
async fn prompts_run_by_number_and_then_by_id() {
    let (simulator, _socket) = busy().await;
    let addr = simulator.addr();
    let places = [
        ("b", json!({})),
        ("c", json!({"front": true})),
        ("d", json!({"number": 0.5})),
        ("e", json!({"front": true})),
        ("g", json!({"number": 9})),
        ("f", json!({"number": "9"})),
    ];
    let mut numbers = Vec::new();
    for (seed, (id, place)) in (2..).zip(places) {
        let mut body = place;
        body["prompt"] = txt2img(seed);
        body["prompt_id"] = json!(id);
        numbers.push(post(addr, "/prompt", &body).await.json()["number"].to_string());
    }
    assert_eq!(numbers, ["1", "-2", "0.5", "-3", "9.0", "9.0"]);
    assert_eq!(pending(addr).await, ["e", "c", "d", "b", "g", "f"], "a heap, not the order of running");
    simulator.faults().clear();
    finished(addr, "g").await;
    let history = get(addr, "/history").await.json();
    let order: Vec<_> = history.as_object().unwrap().keys().cloned().collect();
    // This reader of JSON sorts, so only the ledger tells the order.
    assert_eq!(order, ["b", "c", "d", "e", "f", "first", "g"]);
    let entries = simulator.ledger().entries();
    let started = entries.iter().filter(|entry| entry.event == LedgerEvent::Started);
    let started: Vec<_> = started.filter_map(|entry| entry.prompt_id.as_deref()).collect();
    assert_eq!(started, ["first", "e", "c", "d", "b", "f", "g"]);
    simulator.stop().await;
}

#[tokio::test]
async fn every_deletion_is_told_and_the_last_one_twice() {
    let (simulator, mut socket) = busy().await;
    let addr = simulator.addr();
    for id in ["a", "b", "c", "d", "e", "f"] {
        submit(addr, &txt2img(2), "me", id).await;
    }
    socket.so_far().await;
    for (body, told, left) in [
        (json!({"delete": ["a", "first", "unknown", "b"]}), vec![6, 5], "cdef"),
        (json!({"delete": "cx"}), vec![4], "def"),
        (json!({"delete": {"d": 1}}), vec![3], "ef"),
        (json!({"delete": [["e"], {"f": 1}, null, 5]}), vec![], "ef"),
        (json!({"clear": 0}), vec![], "ef"),
        (json!({"delete": ["e", "f"]}), vec![2, 1, 1], ""),
        (json!({"clear": true}), vec![1], ""),
        (json!([]), vec![], ""),
    ] {
        assert_eq!(post(addr, "/queue", &body).await.status, 200, "{body}");
        assert_eq!(lengths(&socket.so_far().await), told, "{body}");
        assert_eq!(pending(addr).await.concat(), left, "{body}");
    }
    for id in ["a", "b"] {
        submit(addr, &txt2img(2), "me", id).await;
    }
    socket.so_far().await;
    post(addr, "/queue", &json!({"clear": true, "delete": ["a"]})).await;
    assert_eq!(lengths(&socket.so_far().await), [1]);
    for (path, body) in [
        ("/queue", json!({"delete": 5})),
        ("/queue", json!({"delete": null})),
        ("/history", json!({"delete": null})),
        ("/history", json!({"delete": [["a"]]})),
    ] {
        assert_eq!(post(addr, path, &body).await.status, 500, "{path} {body}");
    }
    assert_eq!(get(addr, "/history").await.text(), "{}", "what is deleted leaves no trace");
    simulator.stop().await;
}

#[tokio::test]
async fn only_the_right_interrupt_stops_a_prompt() {
    let (simulator, mut socket) = busy().await;
    let addr = simulator.addr();
    submit(addr, &txt2img(2), "me", "second").await;
    for body in [r#"{"prompt_id":"second"}"#, r#"{"prompt_id":["first"]}"#, r#"{"prompt_id":true}"#] {
        assert_eq!(request(addr, "POST", "/interrupt", "", body.as_bytes()).await.status, 200);
    }
    for body in [&b"[]"[..], b"null", b"\"first\"", b"\xff"] {
        assert_eq!(request(addr, "POST", "/interrupt", "", body).await.status, 500);
    }
    simulator.faults().clear();
    assert!(kinds(&socket.until_done().await).contains(&"execution_success".to_owned()));
    socket.until_done().await;
    // Nothing runs: it stops nothing, not even what comes next.
    for body in ["", "{}", r#"{"prompt_id":"second"}"#] {
        assert_eq!(request(addr, "POST", "/interrupt", "", body.as_bytes()).await.status, 200);
    }
    submit(addr, &txt2img(3), "me", "third").await;
    assert_eq!(finished(addr, "third").await["status"]["status_str"], "success");
    simulator.stop().await;
}

#[tokio::test]
async fn an_interrupt_without_an_id_stops_what_runs() {
    for body in ["", "{}", "{bad", r#"{"prompt_id":""}"#, r#"{"prompt_id":null}"#, r#"{"prompt_id":"first"}"#]
    {
        let (simulator, mut socket) = busy().await;
        let addr = simulator.addr();
        socket.so_far().await;
        assert_eq!(request(addr, "POST", "/interrupt", "", body.as_bytes()).await.status, 200);
        simulator.faults().clear();
        let seen = kinds(&socket.until_done().await);
        assert_eq!(seen, ["execution_interrupted", "status", "executing"], "{body}");
        let entry = finished(addr, "first").await;
        assert_eq!(
            (&entry["status"]["status_str"], &entry["status"]["completed"]),
            (&json!("error"), &json!(false))
        );
        let messages = entry["status"]["messages"].as_array().unwrap();
        let named: Vec<_> = messages.iter().map(|message| message[0].as_str().unwrap()).collect();
        assert_eq!(named, ["execution_start", "execution_cached", "execution_interrupted"]);
        assert_eq!(messages[2][1]["executed"], json!(["4", "6", "7", "5"]));
        assert_eq!(entry["outputs"], json!({}));
        // What had run before is kept.
        submit(addr, &txt2img(1), "me", "again").await;
        let entry = finished(addr, "again").await;
        assert_eq!(entry["status"]["messages"][1][1]["nodes"], json!(["4", "5", "6", "7"]));
        simulator.stop().await;
    }
}

#[tokio::test]
async fn an_interrupted_prompt_without_a_client_is_told_to_all() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let addr = simulator.addr();
    let mut socket = Socket::open(addr, "me").await;
    simulator.faults().next(Fault::Stuck);
    submit(addr, &txt2img(1), "", "p").await;
    while socket.event().await["data"]["nodes"]["3"]["state"] != "running" {}
    post(addr, "/interrupt", &json!({"prompt_id": "p"})).await;
    simulator.faults().clear();
    while socket.event().await["type"] != "execution_interrupted" {}
    simulator.stop().await;
}

#[tokio::test]
async fn freeing_memory_forgets_results_and_unloading_models_does_not() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let addr = simulator.addr();
    submit(addr, &txt2img(1), "", "p").await;
    finished(addr, "p").await;
    for (index, (body, cached)) in [
        (json!({"unload_models": true}), 7),
        (json!({"free_memory": false}), 7),
        (json!({"free_memory": true}), 0),
        (json!({}), 7),
        (json!({"unload_models": true, "free_memory": 1}), 0),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(post(addr, "/free", body).await.status, 200);
        let id = format!("p{index}");
        submit(addr, &txt2img(1), "", &id).await;
        let entry = finished(addr, &id).await;
        assert_eq!(entry["status"]["messages"][1][1]["nodes"].as_array().unwrap().len(), *cached, "{body}");
    }
    simulator.stop().await;
}

#[tokio::test]
async fn numbers_are_used_up_by_what_is_refused_and_not_by_what_brings_its_own() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let addr = simulator.addr();
    for body in [json!({}), json!([]), json!({"prompt": {}}), json!({"prompt": 5}), json!(5)] {
        assert_ne!(post(addr, "/prompt", &body).await.status, 200);
    }
    post(addr, "/prompt", &json!({"prompt": txt2img(1), "number": 1})).await;
    assert_eq!(post(addr, "/prompt", &json!({"prompt": txt2img(1)})).await.json()["number"], 4);
    simulator.stop().await;
}

#[tokio::test]
async fn one_id_under_one_number_is_an_error_only_if_python_has_to_compare_prompts() {
    let (simulator, _socket) = busy().await;
    let addr = simulator.addr();
    let status = async |seed: u64| {
        let body = json!({"prompt": txt2img(seed), "prompt_id": "same", "number": 7});
        post(addr, "/prompt", &body).await.status
    };
    assert_eq!((status(2).await, status(2).await, status(3).await), (200, 200, 500));
    assert_eq!(pending(addr).await, ["same", "same", "same"]);
    simulator.stop().await;
}

#[tokio::test]
async fn what_is_read_where_nothing_is_is_missing_and_what_is_sent_there_is_not_allowed() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    for (method, path, status) in [
        ("GET", "/interrupt", 404),
        ("GET", "/api/free", 404),
        ("GET", "/api/jobs/x", 404),
        ("POST", "/api/jobs/x/cancel", 405),
        ("POST", "/nowhere", 405),
        ("DELETE", "/queue", 405),
    ] {
        let answer = request(simulator.addr(), method, path, "", b"").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.text(), if status == 404 { "" } else { "405: Method Not Allowed" });
    }
    simulator.stop().await;
}
