//! What callers send, and what they get.

use serde_json::{Value, json};

use crate::process::Comfyport;

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_come_at_once_under_the_callers_names() {
    let server = Comfyport::simulated();
    let request = json!({"prmopt": "x", "steps": 0, "advanced": {"scheduler": "karas"}, "seed": -1});
    let problem = server.call("/sd15/txt2img", &request, 422).await;
    let errors = problem["errors"].as_array().unwrap();
    let find = |pointer: &str| {
        errors
            .iter()
            .find(|error| error["pointer"] == pointer)
            .unwrap_or_else(|| panic!("{pointer}: {problem}"))
    };
    assert_eq!(find("/prmopt")["did_you_mean"], "prompt");
    assert_eq!(find("/advanced/scheduler")["did_you_mean"], "karras");
    find("/steps");
    find("/seed");
    find("/prompt");
    assert_eq!(problem["source"], "request");
    assert_eq!(problem["retryable"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_files_and_options_come_with_those_of_values() {
    let server = Comfyport::simulated();
    let request = json!({
        "image": "data:image/png;base64,AAAA", "width": "wide", "heigth": 5, "options": {"inlin": true},
    });
    let problem = server.call("/image/resize", &request, 415).await;
    let mut pointers: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/heigth", "/image", "/options/inlin", "/width"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_a_hundred_thousand_parts_is_refused() {
    let server = Comfyport::simulated();
    let part = |index| format!("--b\r\nContent-Disposition: form-data; name=\"p{index}\"\r\n\r\nx\r\n");
    let body = (0..100_000).map(part).chain(["--b--\r\n".to_owned()]).collect::<String>();
    let request = server.post("/image/resize").header("content-type", "multipart/form-data; boundary=b");
    let problem = server.expect(request.body(body), 413).await.json();
    assert_eq!(problem["code"], "too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_is_drawn_and_reported_or_kept_exactly() {
    let server = Comfyport::simulated();
    let drawn = |result: &Value| result["params"]["seed"].as_u64().unwrap();
    let one = server.call("/sd15/txt2img", &json!({"prompt": "x"}), 200).await;
    let two = server.call("/sd15/txt2img", &json!({"prompt": "x"}), 200).await;
    assert_ne!(drawn(&one), drawn(&two));
    let exact = u64::MAX - 1;
    let kept = server.call("/sd15/txt2img", &json!({"prompt": "x", "seed": exact}), 200).await;
    assert_eq!(drawn(&kept), exact);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_submits_nothing() {
    let simulator = Comfyport::simulator();
    let server = Comfyport::in_front_of(simulator.url());
    server.call("/sd15/txt2img:check", &json!({"prompt": "x"}), 200).await;
    server.call("/sd15/txt2img:check", &json!({}), 422).await;
    assert_eq!(prompts(&simulator).await, 0);
    server.call("/sd15/txt2img", &json!({"prompt": "x"}), 200).await;
    assert_eq!(prompts(&simulator).await, 1);
}

/// How many prompts a simulator has been given.
pub(crate) async fn prompts(simulator: &Comfyport) -> usize {
    let ledger = simulator.get("/simulator/ledger").send().await.unwrap().json::<Value>().await.unwrap();
    ledger.as_array().unwrap().iter().filter(|entry| entry["event"] == "received").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_graphs_are_refused_unless_they_are_turned_on() {
    let server = Comfyport::simulated();
    server.call("/prompt", &json!({"1": {"class_type": "EmptyImage", "inputs": {}}}), 403).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_served_from_the_binary() {
    let server = Comfyport::simulated();
    let docs = server.read("/docs/", 200).await;
    assert!(docs.header("content-type").starts_with("text/html"));
    assert!(!docs.text().contains("https://"), "the page loads nothing from elsewhere");
    let document = server.read("/openapi.json", 200).await.json();
    assert!(document["paths"]["/sd15/txt2img"]["post"].is_object());
    server.read("/nowhere", 404).await;
    server.expect(server.post("/health"), 405).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_engine_are_told_in_the_callers_terms() {
    let simulator = Comfyport::simulator();
    let server = Comfyport::in_front_of(simulator.url());
    for (fault, status, code) in [
        (r#"{"next":[{"kind":"oom"}]}"#, 502, "oom"),
        (r#"{"next":[{"kind":"exception"}]}"#, 502, "workflow_error"),
        (r#"{"next":[{"kind":"missing-output"}]}"#, 502, "output_missing"),
        (r#"{"next":[{"kind":"forget"}]}"#, 502, "worker_lost"),
    ] {
        let ask = simulator.post("/simulator/faults").body(fault).send().await.unwrap();
        assert!(ask.status().is_success(), "{fault}: {}", ask.text().await.unwrap());
        let request = json!({"prompt": "x", "width": 64, "height": 64, "options": {"max_attempts": 1}});
        let problem = server.call("/sd15/txt2img", &request, status).await;
        assert_eq!(problem["code"], code, "{problem}");
        let said = problem.to_string();
        assert!(!said.contains("Traceback") && !said.contains(".py"), "{said}");
    }
    server.call("/sd15/txt2img", &json!({"prompt": "x", "width": 64, "height": 64}), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_host_or_origin_is_refused_on_loopback() {
    let server = Comfyport::simulated();
    server.expect(server.get("/health").header("host", "evil.example"), 403).await;
    server.expect(server.post("/sd15/txt2img").header("origin", "http://evil.example").body("{}"), 403).await;
    server.expect(server.get("/health").header("origin", "http://localhost:5173"), 200).await;
}
