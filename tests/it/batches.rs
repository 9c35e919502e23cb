//! Several runs of one workflow, asked for together.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Comfyport;

async fn ended(server: &Comfyport, id: &str) -> Value {
    for _ in 0..1500 {
        let batch = server.read(&format!("/batches/{id}"), 200).await.json();
        if !["queued", "running"].contains(&batch["status"].as_str().unwrap()) {
            return batch;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grid_is_every_combination_in_order() {
    let server = Comfyport::simulated();
    // As text: the order of the axes matters.
    let body = r#"{"grid": {"seed": [1, 2], "cfg": [5, 7, 9]}, "options": {"tags": ["sweep"]},
        "base": {"prompt": "x", "width": 64, "height": 64, "steps": 1}}"#;
    let answer = server.expect(server.post("/sd15/txt2img:batch").body(body), 202).await;
    let batch = answer.json();
    let id = batch["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/batches/{id}"));
    assert_eq!((&batch["size"], &batch["jobs"].as_array().unwrap().len()), (&json!(6), &6));
    let done = ended(&server, id).await;
    assert_eq!(
        (&done["status"], &done["counts"]["succeeded"], &done["percent"]),
        (&json!("succeeded"), &json!(6), &json!(100.0))
    );
    assert_eq!(done["grid"]["axes"], json!(["seed", "cfg"]));
    let mut points = Vec::new();
    for job in done["jobs"].as_array().unwrap() {
        let job = server.read(job["status_url"].as_str().unwrap(), 200).await.json();
        assert_eq!(job["tags"], json!(["sweep"]));
        points.push((job["params"]["seed"].as_u64().unwrap(), job["params"]["cfg"].as_f64().unwrap()));
    }
    assert_eq!(points, [(1, 5.0), (1, 7.0), (1, 9.0), (2, 5.0), (2, 7.0), (2, 9.0)]);
    let sheet = server.read(done["contact_sheet_url"].as_str().unwrap(), 200).await;
    assert_eq!(sheet.header("content-type"), "image/jpeg");
    let sheet = image::load_from_memory(&sheet.body).unwrap();
    // Three in a row, as the last axis has it.
    assert_eq!((sheet.width(), sheet.height()), (3 * 264 + 8, 2 * 264 + 8));
    let listed = server.read(&format!("/jobs?batch={id}"), 200).await.json();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_accepted_whole_or_not_at_all() {
    let server = Comfyport::simulated_with(&[("COMFYPORT_JOBS_MAX_BATCH", "3")]);
    let post = async |body: Value, status| server.call("/sd15/txt2img:batch", &body, status).await;
    let faulty =
        post(json!({"items": [{"prompt": "a"}, {"prmopt": "b"}, {"prompt": "c", "steps": 0}]}), 422).await;
    let mut pointers: Vec<&str> =
        faulty["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/items/1/prmopt", "/items/1/prompt", "/items/2/steps"]);
    for body in [
        json!({"items": [{}, {}, {}, {}]}),
        json!({"grid": {"seed": [1, 2], "cfg": [1, 2]}}),
        json!({"grid": {"seed": []}}),
        json!({"items": [], "grid": {}}),
        json!({"prompt": "x"}),
        json!([1]),
    ] {
        post(body, 422).await;
    }
    let jobs = server.read("/jobs", 200).await.json();
    assert!(jobs["jobs"].as_array().unwrap().is_empty(), "{jobs}");
    server.read("/batches/00000000-0000-4000-8000-000000000000", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_replayed_by_its_key_and_cancelled_as_a_whole() {
    let engine = Comfyport::slow_simulator(50);
    let server = Comfyport::in_front_of(engine.url());
    let body = json!({"items": vec![json!({"prompt": "x", "steps": 200, "width": 64, "height": 64}); 5]})
        .to_string();
    let post = || server.post("/sd15/txt2img:batch").header("idempotency-key", "one").body(body.clone());
    let first = server.expect(post(), 202).await.json();
    let again = server.expect(post(), 202).await;
    assert_eq!((again.header("idempotent-replayed"), &again.json()["id"]), ("true", &first["id"]));
    let id = first["id"].as_str().unwrap();
    server.expect(server.delete(&format!("/batches/{id}")), 200).await;
    let done = ended(&server, id).await;
    assert_eq!((&done["status"], &done["counts"]["cancelled"]), (&json!("cancelled"), &json!(5)), "{done}");
    let none = server.read(&format!("/batches/{id}/contact-sheet"), 404).await.json();
    assert!(none["detail"].as_str().unwrap().contains("no job"), "{none}");
}
