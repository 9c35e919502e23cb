//! Other people's APIs, as their callers use them. Their own client libraries are asked by `.ci/clients`.

use serde_json::{Value, json};

use crate::{process::Comfyport, sink::Sink};

const ON: (&str, &str) = ("COMFYPORT_COMPAT_RUNPOD", "true");

fn small() -> Value {
    json!({"prompt": "a fox", "width": 64, "height": 64, "steps": 1})
}

#[tokio::test(flavor = "multi_thread")]
async fn runpod_jobs_are_run_looked_at_and_cancelled() {
    let server = Comfyport::simulated_with(&[ON]);
    let mut input = small();
    input["seed"] = json!(u64::MAX);
    let sync = server.call("/v2/sd15/txt2img/runsync", &json!({"input": input}), 200).await;
    assert_eq!(sync["status"], "COMPLETED", "{sync}");
    assert_eq!(sync["output"]["params"]["seed"], u64::MAX);
    let image = &sync["output"]["images"][0];
    assert_eq!((&image["type"], &image["filename"]), (&json!("base64"), &json!("image.png")));
    assert!(image["data"].as_str().unwrap().starts_with("iVBOR"));
    assert!(sync["delayTime"].is_u64() && sync["executionTime"].is_u64(), "{sync}");
    let id = sync["id"].as_str().unwrap();
    assert_eq!(server.read(&format!("/v2/sd15/txt2img/status/{id}"), 200).await.json(), sync);
    // Under another workflow it is not there.
    server.expect(server.get(&format!("/v2/image/resize/status/{id}")), 404).await;
    let health = server.read("/v2/sd15/txt2img/health", 200).await.json();
    assert_eq!((&health["jobs"]["completed"], &health["workers"]["ready"]), (&json!(1), &json!(1)));

    server.call("/engines/simulator:drain", &json!({}), 200).await;
    let queued = server.call("/v2/sd15/txt2img/run", &json!({"input": small()}), 200).await;
    assert_eq!(queued["status"], "IN_QUEUE");
    let cancel = format!("/v2/sd15/txt2img/cancel/{}", queued["id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(server.call(&cancel, &json!({}), 200).await["status"], "CANCELLED");
    }
    server.call("/v2/sd15/txt2img/run", &json!({"input": small()}), 200).await;
    let purged = server.call("/v2/sd15/txt2img/purge-queue", &json!({}), 200).await;
    assert_eq!(purged, json!({"removed": 1, "status": "completed"}));
    let health = server.read("/v2/sd15/txt2img/health", 200).await.json();
    assert_eq!((&health["jobs"]["inQueue"], &health["workers"]["throttled"]), (&json!(0), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn runpod_requests_are_refused_in_words_its_callers_read() {
    let server = Comfyport::simulated_with(&[ON]);
    let refused = async |body: &str, status: u16| {
        let answer = server.post("/v2/sd15/txt2img/run").body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{body}");
        answer.json::<Value>().await.unwrap()
    };
    let wrong = refused(r#"{"input":{"prmopt":"x"}}"#, 422).await;
    assert!(wrong["error"].as_str().unwrap().contains("2 things"), "{wrong}");
    assert_eq!(wrong["errors"][0]["did_you_mean"], "prompt", "{wrong}");
    refused("{}", 400).await;
    refused("nonsense", 400).await;
    refused(r#"{"input":{"prompt":"x"},"s3Config":{}}"#, 501).await;
    server.expect(server.post("/v2/sd15/nothing/run").body("{}"), 404).await;
    // It is off unless it is turned on.
    let server = Comfyport::simulated();
    server.expect(server.post("/v2/sd15/txt2img/run").body(json!({"input": small()}).to_string()), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runpod_webhooks_are_worded_as_its_callers_expect() {
    let sink = Sink::start().await;
    let allow = format!("[\"{}\"]", sink.url());
    let secret = "[\"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\"]";
    let settings = [ON, ("COMFYPORT_WEBHOOKS_ALLOW", &allow), ("COMFYPORT_WEBHOOKS_SECRETS", secret)];
    let server = Comfyport::simulated_with(&settings);
    let body = json!({"input": small(), "webhook": sink.at("/done"), "policy": {"executionTimeout": 60000}});
    let run = server.call("/v2/sd15/txt2img/run", &body, 200).await;
    let heard = sink.until_at("/done", 1).await;
    let said = heard[0].json();
    assert_eq!((&said["id"], &said["status"]), (&run["id"], &json!("COMPLETED")));
    assert!(said["output"]["outputs"]["image"][0]["url"].is_string(), "{said}");
}
