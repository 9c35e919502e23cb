//! Misbehaviour on request.

use std::time::{Duration, Instant};

use comfyport_simulator::{Fault, LedgerEvent, Options, Simulator};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    client::{Frame, Socket, finished, get, kinds, post, submit},
    protocol::txt2img,
};

async fn read_head(stream: &mut tokio::net::TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn start() -> Simulator {
    Simulator::start(Options::default()).await.unwrap()
}

#[tokio::test]
async fn a_node_fails_as_asked_over_http() {
    let simulator = start().await;
    let plan = json!({"next": [{"kind": "oom"}, {"kind": "error-before"}]});
    assert_eq!(post(simulator.addr(), "/simulator/faults", &plan).await.status, 204);
    let body = json!({"prompt": txt2img(1), "prompt_id": "p"});
    assert_eq!(post(simulator.addr(), "/prompt", &body).await.status, 500);
    assert_eq!(get(simulator.addr(), "/prompt").await.json()["exec_info"]["queue_remaining"], 0);
    assert_eq!(post(simulator.addr(), "/prompt", &body).await.status, 200);
    let entry = finished(simulator.addr(), "p").await;
    let error = entry["status"]["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&error[0], &error[1]["exception_type"]),
        (&json!("execution_error"), &json!("torch.OutOfMemoryError"))
    );
    assert_eq!(error[1]["node_id"], "3");
    let ledger = get(simulator.addr(), "/simulator/ledger").await.json();
    assert!(ledger.as_array().unwrap().iter().any(|entry| entry["event"] == "failed"), "{ledger}");
    simulator.stop().await;
}

#[tokio::test]
async fn a_prompt_can_be_accepted_behind_an_error() {
    let simulator = start().await;
    simulator.faults().next(Fault::ErrorAfter { path: "/prompt".to_owned() });
    assert_eq!(
        post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "prompt_id": "p"})).await.status,
        500
    );
    finished(simulator.addr(), "p").await;
    simulator.stop().await;
}

#[tokio::test]
async fn a_restart_forgets_everything() {
    let simulator = start().await;
    let mut socket = Socket::open(simulator.addr(), "me").await;
    simulator.faults().next(Fault::Forget);
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "client_id": "me", "prompt_id": "p"}))
        .await;
    while socket.frame().await != Frame::Closed {}
    assert_eq!(
        get(simulator.addr(), "/queue").await.json(),
        json!({"queue_running": [], "queue_pending": []})
    );
    assert_eq!(get(simulator.addr(), "/history").await.text(), "{}");
    simulator.stop().await;
}

#[tokio::test]
async fn a_stuck_node_goes_on_when_the_faults_are_cleared() {
    let simulator = start().await;
    simulator.faults().next(Fault::Stuck);
    let mut socket = Socket::open(simulator.addr(), "me").await;
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "client_id": "me", "prompt_id": "p"}))
        .await;
    while socket.event().await["data"]["node"] != "3" {}
    assert_eq!(get(simulator.addr(), "/history/p").await.text(), "{}");
    simulator.faults().clear();
    socket.until_done().await;
    finished(simulator.addr(), "p").await;
    simulator.stop().await;
}

#[tokio::test]
async fn frames_can_be_doubled_and_hold_nan() {
    let simulator = start().await;
    let mut socket = Socket::open(simulator.addr(), "me").await;
    socket.event().await;
    simulator.faults().next(Fault::Nan);
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "client_id": "me"})).await;
    let frames = socket.until_done().await;
    assert!(
        frames
            .iter()
            .any(|frame| matches!(frame, Frame::Text(text) if text.contains(r#""value": NaN, "max": 2"#)))
    );
    simulator.faults().next(Fault::DuplicateEvents);
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(2), "client_id": "me"})).await;
    let seen = kinds(&socket.until_done().await);
    assert_eq!(seen.iter().filter(|kind| *kind == "execution_success").count(), 2);
    simulator.stop().await;
}

#[tokio::test]
async fn outputs_can_be_cut_off_or_gone() {
    let simulator = start().await;
    let view = "/view?filename=t2i_00001_.png";
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(1), "prompt_id": "p"})).await;
    finished(simulator.addr(), "p").await;
    let whole = get(simulator.addr(), view).await.body.len();
    simulator.faults().next(Fault::TruncatedOutput);
    let cut = get(simulator.addr(), view).await;
    assert!(cut.head.contains(&format!("content-length: {whole}")) && cut.body.len() < whole, "{}", cut.head);
    simulator.faults().next(Fault::MissingOutput);
    post(simulator.addr(), "/prompt", &json!({"prompt": txt2img(2), "prompt_id": "q"})).await;
    finished(simulator.addr(), "q").await;
    assert_eq!(get(simulator.addr(), "/view?filename=t2i_00002_.png").await.status, 404);
    simulator.stop().await;
}

#[tokio::test]
async fn connections_can_be_refused() {
    let simulator = start().await;
    for plan in
        [json!({"next": [{"kind": "refuse"}]}), json!({"during": [{"seconds": 600, "kind": "refuse"}]})]
    {
        let mut connected = tokio::net::TcpStream::connect(simulator.addr()).await.unwrap();
        let body = plan.to_string();
        let length = body.len();
        let request =
            format!("POST /simulator/faults HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        connected.write_all(request.as_bytes()).await.unwrap();
        assert!(read_head(&mut connected).await.starts_with("HTTP/1.1 204"));
        let mut refused = tokio::net::TcpStream::connect(simulator.addr()).await.unwrap();
        let error = refused.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        // Connections that were there before go on.
        let request = "DELETE /simulator/faults HTTP/1.1\r\nHost: x\r\n\r\n";
        connected.write_all(request.as_bytes()).await.unwrap();
        assert!(read_head(&mut connected).await.starts_with("HTTP/1.1 204"));
        assert_eq!(get(simulator.addr(), "/queue").await.status, 200);
    }
    simulator.stop().await;
}

#[tokio::test]
async fn an_answer_can_take_its_time() {
    let simulator = start().await;
    simulator.faults().next(Fault::Delay { milliseconds: 60, path: "/queue".to_owned() });
    assert_eq!(get(simulator.addr(), "/prompt").await.status, 200);
    let asked = Instant::now();
    assert_eq!(get(simulator.addr(), "/queue").await.status, 200);
    assert!(asked.elapsed() >= Duration::from_millis(60));
    let ledger = simulator.ledger().entries();
    let faults: Vec<_> = ledger.iter().filter(|entry| entry.event == LedgerEvent::Fault).collect();
    assert!(faults.len() == 1 && faults[0].detail.ends_with("/queue"), "{faults:?}");
    simulator.stop().await;
}

#[tokio::test]
async fn a_request_is_carried_out_and_answered_by_a_proxy() {
    let simulator = start().await;
    simulator.faults().next(Fault::Html { path: "/prompt".to_owned() });
    let body = json!({"prompt": txt2img(1), "prompt_id": "p"});
    let answer = post(simulator.addr(), "/prompt", &body).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/html") && answer.text().starts_with("<html>"));
    assert_eq!(finished(simulator.addr(), "p").await["status"]["status_str"], "success");
    simulator.faults().during(Fault::Html { path: "/history".to_owned() }, Duration::from_mins(1));
    for _ in 0..2 {
        assert!(get(simulator.addr(), "/history/p").await.text().starts_with("<html>"));
    }
    simulator.faults().clear();
    assert!(get(simulator.addr(), "/history/p").await.json()["p"].is_object());
    simulator.stop().await;
}

#[tokio::test]
async fn sockets_can_be_dropped_in_the_middle() {
    let simulator = start().await;
    let addr = simulator.addr();
    let (mut me, mut other) = (Socket::open(addr, "me").await, Socket::open(addr, "other").await);
    simulator.faults().next(Fault::DropSocket);
    submit(addr, &txt2img(1), "me", "p").await;
    let seen = kinds(&me.until_done().await);
    assert_eq!((seen[seen.len() - 2].as_str(), seen[seen.len() - 1].as_str()), ("executing 3", "closed"));
    assert_eq!(kinds(&other.until_done().await).last().unwrap(), "closed");
    assert_eq!(finished(addr, "p").await["status"]["status_str"], "success");
    simulator.stop().await;
}

#[tokio::test]
async fn a_zombie_accepts_prompts_and_runs_none() {
    let simulator = start().await;
    let addr = simulator.addr();
    simulator.faults().next(Fault::Zombie);
    let mut socket = Socket::open(addr, "me").await;
    for id in ["p", "q"] {
        submit(addr, &txt2img(1), "me", id).await;
    }
    while get(addr, "/queue").await.json()["queue_running"][0][1] != "p" {}
    post(addr, "/interrupt", &json!({"prompt_id": "p"})).await;
    assert_eq!(get(addr, "/queue").await.json()["queue_pending"][0][1], "q");
    assert_eq!(get(addr, "/history").await.text(), "{}");
    while simulator.ledger().count(LedgerEvent::Fault) == 0 {
        tokio::task::yield_now().await;
    }
    let seen = kinds(&socket.so_far().await);
    assert!(seen.len() == 4 && seen.iter().all(|kind| kind == "status"), "{seen:?}");
    assert_eq!(simulator.ledger().count(LedgerEvent::Started), 0);
    simulator.stop().await;
}

#[tokio::test]
async fn an_exception_names_all_nodes_and_paths_of_the_server() {
    let simulator = start().await;
    let addr = simulator.addr();
    let mut socket = Socket::open(addr, "me").await;
    simulator.faults().next(Fault::Exception);
    submit(addr, &txt2img(1), "me", "p").await;
    let frames = socket.until_done().await;
    assert!(kinds(&frames).contains(&"execution_error".to_owned()));
    let entry = finished(addr, "p").await;
    assert_eq!(entry["status"]["status_str"], "error");
    let error = &entry["status"]["messages"][2];
    assert_eq!((&error[0], &error[1]["node_type"]), (&json!("execution_error"), &json!("KSampler")));
    assert_eq!(error[1]["current_outputs"], json!(["3", "4", "5", "6", "7", "8", "9"]));
    assert_eq!(error[1]["current_inputs"]["steps"], json!([2]));
    assert!(error[1]["traceback"][0].as_str().unwrap().contains("/srv/ComfyUI/execution.py"));
    assert!(error[1]["exception_message"].as_str().unwrap().contains("/srv/ComfyUI/models"));
    simulator.stop().await;
}

#[tokio::test]
async fn neighbours_can_change_places() {
    let simulator = start().await;
    let mut socket = Socket::open(simulator.addr(), "me").await;
    let mut runs = Vec::new();
    for (id, fault) in [("p", None), ("q", Some(Fault::OutOfOrder))] {
        if let Some(fault) = fault {
            simulator.faults().next(fault);
        }
        post(simulator.addr(), "/free", &json!({"free_memory": true})).await;
        socket.so_far().await;
        submit(simulator.addr(), &txt2img(1), "me", id).await;
        runs.push(kinds(&socket.until_done().await));
    }
    let swapped = runs.pop().unwrap();
    let plain = runs.pop().unwrap();
    assert_eq!(&plain[2..4], ["execution_start", "execution_cached"]);
    assert_eq!(&swapped[2..4], ["execution_cached", "execution_start"]);
    assert_eq!(
        (plain.last(), swapped.last()),
        (Some(&"executing".to_owned()), Some(&"executing".to_owned()))
    );
    let sorted = |mut kinds: Vec<String>| {
        kinds.sort();
        kinds
    };
    assert_eq!(sorted(plain), sorted(swapped));
    simulator.stop().await;
}

#[tokio::test]
async fn sockets_can_be_silent_about_a_prompt_or_altogether() {
    let simulator = start().await;
    let addr = simulator.addr();
    let mut socket = Socket::open(addr, "me").await;
    socket.event().await;
    simulator.faults().next(Fault::SilentWebsocket);
    submit(addr, &txt2img(1), "me", "p").await;
    finished(addr, "p").await;
    // The history has a prompt before the last `status` is sent, and the next prompt starts after it.
    submit(addr, &txt2img(2), "me", "q").await;
    let seen = kinds(&socket.until_done().await);
    assert_eq!(&seen[..6], ["status", "status", "status", "status", "status", "execution_start"]);
    simulator.faults().during(Fault::SilentWebsocket, Duration::from_mins(1));
    submit(addr, &txt2img(3), "me", "r").await;
    finished(addr, "r").await;
    assert_eq!(socket.so_far().await, []);
    assert_eq!(Socket::open(addr, "new").await.so_far().await, []);
    simulator.faults().clear();
    assert_eq!(Socket::open(addr, "newer").await.event().await["type"], "status");
    simulator.stop().await;
}
