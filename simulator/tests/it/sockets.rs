//! WebSockets that share an id, come back, or belong to nobody.

use comfyport_simulator::{Fault, LedgerEvent, Options, Simulator};
use serde_json::json;

use crate::{
    client::{Frame, Socket, finished, kinds, submit},
    protocol::txt2img,
};

async fn start() -> Simulator {
    Simulator::start(Options::default()).await.unwrap()
}

async fn until_closed(simulator: &Simulator, sockets: usize) {
    while simulator.ledger().count(LedgerEvent::Disconnected) < sockets {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn of_two_sockets_with_one_id_the_newer_hears_until_the_older_closes() {
    let simulator = start().await;
    let addr = simulator.addr();
    let mut old = Socket::open(addr, "me").await;
    old.event().await;
    let mut new = Socket::open(addr, "me").await;
    submit(addr, &txt2img(1), "me", "p").await;
    assert_eq!(kinds(&new.until_done().await).last().unwrap(), "executing");
    assert_eq!(old.so_far().await, [], "the older one stays open and gets nothing");
    drop(old);
    until_closed(&simulator, 1).await;
    submit(addr, &txt2img(2), "me", "q").await;
    finished(addr, "q").await;
    assert_eq!(new.so_far().await, [], "the older one took the newer one's place along");
    let mut third = Socket::open(addr, "me").await;
    assert_eq!(third.event().await["type"], "status");
    drop(new);
    until_closed(&simulator, 2).await;
    submit(addr, &txt2img(3), "me", "r").await;
    finished(addr, "r").await;
    assert_eq!(third.so_far().await, []);
    simulator.stop().await;
}

#[tokio::test]
async fn who_comes_back_hears_which_node_runs_and_no_more_of_the_past() {
    let simulator = start().await;
    let addr = simulator.addr();
    simulator.faults().next(Fault::Stuck);
    let mut socket = Socket::open(addr, "me").await;
    submit(addr, &txt2img(1), "me", "p").await;
    while socket.event().await["data"]["node"] != "3" {}
    drop(socket);
    until_closed(&simulator, 1).await;
    let mut other = Socket::open(addr, "other").await;
    assert_eq!(kinds(&other.so_far().await), ["status"]);
    let mut socket = Socket::open(addr, "me").await;
    assert_eq!(socket.event().await["data"]["status"]["exec_info"]["queue_remaining"], 1);
    assert_eq!(socket.event().await, json!({"type": "executing", "data": {"node": "3"}}));
    assert_eq!(socket.so_far().await, []);
    simulator.faults().clear();
    let seen = kinds(&socket.until_done().await);
    assert_eq!((seen[0].as_str(), seen[1].as_str()), ("progress_state", "progress 3"));
    drop(socket);
    until_closed(&simulator, 2).await;
    let mut socket = Socket::open(addr, "me").await;
    assert_eq!(kinds(&socket.so_far().await), ["status"]);
    simulator.stop().await;
}

#[tokio::test]
async fn pictures_of_a_prompt_without_a_client_do_not_say_whose_they_are() {
    let simulator = Simulator::start(Options { previews: true, ..Options::default() }).await.unwrap();
    let addr = simulator.addr();
    let mut socket = Socket::open(addr, "me").await;
    socket.send(r#"{"type":"feature_flags","data":{"supports_preview_metadata":true}}"#).await;
    assert_eq!(kinds(&socket.so_far().await), ["status", "feature_flags"]);
    submit(addr, &txt2img(1), "", "p").await;
    finished(addr, "p").await;
    let seen = kinds(&socket.so_far().await);
    let steps: Vec<_> = seen.iter().filter(|kind| kind.contains(' ')).collect();
    assert_eq!(steps, ["progress 3", "binary 1", "progress 3", "binary 1"]);
    simulator.stop().await;
}

#[tokio::test]
async fn a_restart_in_the_middle_leaves_nothing_behind() {
    for fault in [Fault::Stuck, Fault::Zombie] {
        let simulator = start().await;
        let addr = simulator.addr();
        simulator.faults().next(fault);
        let mut socket = Socket::open(addr, "me").await;
        for id in ["p", "q"] {
            submit(addr, &txt2img(1), "me", id).await;
        }
        while simulator.ledger().count(LedgerEvent::Fault) == 0 {
            tokio::task::yield_now().await;
        }
        simulator.restart();
        while socket.frame().await != Frame::Closed {}
        let mut socket = Socket::open(addr, "me").await;
        assert_eq!(kinds(&socket.so_far().await), ["status"]);
        submit(addr, &txt2img(1), "me", "r").await;
        let frames = socket.until_done().await;
        let cached = |frame: &Frame| matches!(frame, Frame::Text(text) if text.contains(r#""nodes": [], "prompt_id": "r""#));
        assert!(frames.iter().any(cached), "{frames:?}");
        let history = crate::client::get(addr, "/history").await.json();
        assert_eq!(history.as_object().unwrap().keys().collect::<Vec<_>>(), ["r"]);
        assert_eq!(history["r"]["prompt"][0], 0);
        simulator.stop().await;
    }
}
