//! The smallest instance of each workflow, run before anybody waits for it.

use std::time::Duration;

use comfyport_simulator::{LedgerEvent, Models, Options, Simulator};
use serde_json::{Value, json};

use crate::process::Comfyport;

const ON: (&str, &str) = ("COMFYPORT_WARM_UP_ENABLED", "true");

/// Waits until `/ready` is green. Answers it, and how often it was told that it warms up.
async fn ready(server: &Comfyport) -> (Value, usize) {
    let mut warming = 0;
    loop {
        let answer = server.get("/ready").send().await.unwrap();
        let (status, said) = (answer.status(), answer.json::<Value>().await.unwrap());
        if status == 200 {
            return (said, warming);
        }
        assert_eq!((status.as_u16(), &said["code"]), (503, &json!("warming_up")), "{said}");
        warming += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_workflow_runs_once_and_small_before_the_server_is_ready() {
    let options = Options { step_delay: Duration::from_millis(100), ..Options::default() };
    let engine = Simulator::start(options).await.unwrap();
    let only = ("COMFYPORT_WARM_UP_WORKFLOWS", "[\"sd15/txt*\", \"sd15/img2img\", \"image/resize\"]");
    let server = Comfyport::in_front_of_with(&engine.url(), &[ON, only]);
    let (said, warming) = ready(&server).await;
    assert!(warming > 0, "steps take their time");
    let warm = &said["warm_up"];
    assert_eq!((&warm["all"], &warm["done"]), (&json!(3), &json!(3)), "{warm:#}");
    assert_eq!(warm["not_done"], json!([]));
    let prompts: Vec<Value> = engine
        .ledger()
        .entries()
        .into_iter()
        .filter(|entry| matches!(entry.event, LedgerEvent::Started))
        .map(|entry| serde_json::to_value(&entry).unwrap())
        .collect();
    assert_eq!(prompts.len(), 3, "{prompts:#?}");
    // It is no job, and nothing of it is kept.
    assert_eq!(server.read("/jobs", 200).await.json()["jobs"], json!([]));
    let history: Value =
        reqwest::get(format!("{}/history", engine.url())).await.unwrap().json().await.unwrap();
    assert_eq!(history, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_run_is_told_and_holds_nobody_up() {
    let options = Options { models: Models::Exact([].into()), ..Options::default() };
    let engine = Simulator::start(options).await.unwrap();
    let only = ("COMFYPORT_WARM_UP_WORKFLOWS", "[\"sd15/txt2img\", \"image/resize\"]");
    let server = Comfyport::in_front_of_with(&engine.url(), &[ON, only]);
    let (said, _) = ready(&server).await;
    // Green, but not for whoever asks for what cannot run.
    server.read("/ready?workflow=image/resize", 200).await;
    for red in ["sd15/txt2img", "sd15/*", "*"] {
        let problem = server.read(&format!("/ready?workflow={red}"), 503).await.json();
        assert_eq!(problem["code"], "workflow_not_ready", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("sd15/txt2img") && !detail.contains("safetensors"), "{problem}");
    }
    let problem = server.read("/ready?workflow=image/resise", 404).await.json();
    assert!(problem["detail"].as_str().unwrap().contains("the nearest is `image/resize`"), "{problem}");
    server.read("/ready?workflow=a&workflow=b", 400).await;
    let not_done = said["warm_up"]["not_done"].as_array().unwrap();
    assert_eq!((said["warm_up"]["done"].clone(), not_done.len()), (json!(1), 1), "{said:#}");
    assert_eq!(
        (&not_done[0]["workflow"], &not_done[0]["state"]),
        (&json!("sd15/txt2img"), &json!("skipped"))
    );
    assert!(not_done[0]["why"].as_str().unwrap().contains("v1-5-pruned"), "{said:#}");
    // An engine that takes too long.
    let slow = Simulator::start(Options { step_delay: Duration::from_mins(1), ..Options::default() });
    let slow = slow.await.unwrap();
    let settings =
        [ON, ("COMFYPORT_WARM_UP_WORKFLOWS", "[\"sd15/txt2img\"]"), ("COMFYPORT_WARM_UP_LIMIT_S", "1")];
    let server = Comfyport::in_front_of_with(&slow.url(), &settings);
    let (said, _) = ready(&server).await;
    assert!(said["warm_up"]["not_done"][0]["why"].as_str().unwrap().contains("warm_up.limit_s"), "{said:#}");
    // Off, there is nothing to tell.
    let off = Comfyport::in_front_of(&engine.url());
    assert!(off.read("/ready", 200).await.json().get("warm_up").is_none());
}
