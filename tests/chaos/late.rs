//! A server that wakes up after another has taken its job: what it sent meanwhile must not run beside the other try.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    clients::{Promises, body},
    hall::{Hall, Plan},
    oracle::Verdict,
    runs::{settle, shared_store},
    until,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The first prompt is on its way for so long that the other server does not find it and sends one of its own.
const ON_ITS_WAY: u64 = 9_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_that_comes_late_is_withdrawn() {
    let Some(store) = shared_store("late prompt") else { return };
    let plan =
        Plan { seed: 1, servers: 2, engines: 1, store: Some(store), step_delay: 3_000, ..Plan::default() };
    let mut hall = Hall::open(plan).await;
    hall.servers[1].kill();
    hall.misbehave(0, &json!({"next": [{"kind": "delay", "milliseconds": ON_ITS_WAY}]})).await;
    let url = format!("{}/sd15/txt2img", hall.servers[0].url());
    let request = hall.http.post(url).header("prefer", "respond-async").json(&body(0, None));
    let job: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    let id = job["id"].as_str().unwrap().to_owned();
    until("the job is given out", PATIENCE, async || {
        hall.ask(&format!("/jobs/{id}")).await.is_some_and(|job| job["status"] == "running")
    })
    .await;
    hall.servers[0].freeze();
    hall.servers[1].start().await;
    until("the other server runs it", PATIENCE, async || hall.ledgers[0].entries() > 0).await;
    hall.servers[0].thaw();
    until("the server hears that it lost the job", PATIENCE, async || {
        hall.servers[0].said("another server has the job now") > 0
    })
    .await;
    settle(&hall, Instant::now() + PATIENCE).await;
    until("the engine has nothing more to do", PATIENCE, async || {
        let queue = hall.http.get(format!("{}/queue", hall.engines[0].url())).send().await.unwrap();
        let queue: serde_json::Value = queue.json().await.unwrap();
        queue["queue_running"] == json!([]) && queue["queue_pending"] == json!([])
    })
    .await;
    let mut promises = Promises { submitted: 1, ..Promises::default() };
    promises.acknowledged.insert(id.parse().unwrap(), 0);
    // Nobody was killed, so nothing may run twice.
    let mut verdict = Verdict {
        name: "late prompt",
        seed: 1,
        faults: "a server frozen beyond its lease while its prompt is on the way".to_owned(),
        ..Verdict::default()
    };
    verdict.see_promises(&promises);
    verdict.see_outputs(&hall, &promises).await;
    for server in &mut hall.servers {
        assert_eq!(server.end().await, Some(0));
    }
    verdict.see_records(&hall, &promises).await;
    verdict.judge(false, &hall.logs());
}
