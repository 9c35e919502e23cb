//! Comfy API v2 before our jobs, as its clients use it. Its own client libraries and its document are asked by
//! `.ci/clients`.

use reqwest::{
    RequestBuilder,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::process::{Answer, Comfyport};

const ON: [(&str, &str); 2] =
    [("COMFYPORT_COMPAT_COMFY_V2", "true"), ("COMFYPORT_PROMPT_ROUTE_ENABLED", "true")];

fn picture(width: u32) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_pixel(width, 6, image::Rgb([9, 0, 0]));
    pixels.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

fn enlarge(image: Value) -> Value {
    json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], "upscale_method": "nearest-exact",
            "width": 32, "height": 24, "crop": "disabled"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "out"}},
    })
}

/// Makes a picture out of nothing.
fn plain(width: u32) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": width, "height": 16, "batch_size": 1, "color": 255}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "out"}},
    })
}

fn reference(id: &Value) -> Value {
    json!({"__type": "core/ASSET", "info": {"id": id, "file_path": "photo.png"}})
}

fn form(data: Vec<u8>, expected: Option<&str>) -> Form {
    let form = Form::new().text("content_type", "image/png").text("file_path", "photo.png");
    let form = match expected {
        Some(hash) => form.text("expected_hash", hash.to_owned()),
        None => form,
    };
    form.part("file", Part::bytes(data).file_name("photo.png"))
}

/// Sends a request and checks what must hold for every refusal of this API.
async fn expect(request: RequestBuilder, status: u16) -> Answer {
    let response = request.send().await.unwrap();
    let (found, headers) = (response.status(), response.headers().clone());
    let answer = Answer { status: found, headers, body: response.bytes().await.unwrap().to_vec() };
    assert_eq!(found.as_u16(), status, "{}", answer.text());
    if status >= 400 && !answer.body.is_empty() {
        assert_eq!(answer.header("content-type"), "application/json");
        let error = answer.json()["error"].clone();
        assert!(error["code"].is_string() && error["message"].is_string(), "{error}");
        assert!(error["details"].is_object() || error["details"].is_null(), "{error}");
    }
    if status == 429 {
        assert!(answer.header("retry-after").parse::<u64>().is_ok());
    }
    answer
}

async fn submit(server: &Comfyport, body: &Value, status: u16) -> Value {
    expect(server.post("/api/v2/jobs").body(body.to_string()), status).await.json()
}

/// Polls a job until it has ended.
async fn ended(server: &Comfyport, job: &Value) -> Value {
    loop {
        let now = expect(server.get(job["urls"]["self"].as_str().unwrap()), 200).await.json();
        if ["succeeded", "failed", "canceled", "expired"].contains(&now["status"].as_str().unwrap()) {
            return now;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_run_with_assets_and_yield_assets() {
    let server = Comfyport::simulated_with(&ON);
    let hash = format!("blake3:{}", blake3::hash(&picture(8)).to_hex());
    let upload = |form: Form| server.post("/api/v2/assets").multipart(form);
    let asset = expect(upload(form(picture(8), Some(&hash))), 201).await.json();
    assert_eq!((&asset["hash"], &asset["created_new"]), (&json!(hash), &json!(true)), "{asset}");
    assert_eq!((&asset["content_type"], &asset["file_path"]), (&json!("image/png"), &json!("photo.png")));
    let again = expect(upload(form(picture(8), None)), 200).await.json();
    assert_eq!((&again["id"], &again["created_new"]), (&asset["id"], &json!(false)));
    let wrong = expect(upload(form(picture(9), Some(&hash))), 409).await.json();
    assert_eq!(wrong["error"]["code"], "hash_mismatch");
    let body = json!({"workflow": enlarge(reference(&asset["id"])), "metadata": {"run": "7"}});
    let job = submit(&server, &body, 201).await;
    assert!(["queued", "running", "succeeded"].contains(&job["status"].as_str().unwrap()), "{job}");
    let done = ended(&server, &job).await;
    assert_eq!(
        (&done["status"], &done["error"], &done["metadata"]),
        (&json!("succeeded"), &Value::Null, &json!({"run": "7"})),
        "{done}"
    );
    assert_eq!((&done["progress"]["value"], &done["progress"]["nodes_done"]), (&json!(1.0), &json!(3)));
    let output = &done["outputs"][0];
    assert_eq!(
        (&output["node_id"], &output["type"], &output["job_id"]),
        (&json!("9"), &json!("image"), &done["id"])
    );
    // Its address is whole and opens; so do parts of it, and it is an asset by its id.
    let url = output["url"].as_str().unwrap();
    assert!(url.starts_with(server.url()), "{url}");
    let bytes = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert_eq!(
        (image::load_from_memory(&bytes).unwrap().width(), bytes.len() as u64),
        (32, output["size_bytes"].as_u64().unwrap())
    );
    let id = output["id"].as_str().unwrap();
    let part = server.get(&format!("/api/v2/assets/{id}/content")).header("range", "bytes=1-3");
    assert_eq!(expect(part, 206).await.body, b"PNG");
    let shown = expect(server.get(&format!("/api/v2/assets/{id}")), 200).await.json();
    assert_eq!((&shown["job_id"], &shown["size_bytes"]), (&done["id"], &output["size_bytes"]));
    let kept = expect(server.delete(&format!("/api/v2/assets/{id}")), 409).await.json();
    assert_eq!(kept["error"]["code"], "asset_in_use");
    // What one job yielded is what the next one takes.
    let next = submit(&server, &json!({"workflow": enlarge(reference(&output["id"]))}), 201).await;
    assert_eq!(ended(&server, &next).await["status"], "succeeded");
    // The graph is there as it came.
    let path = format!("/api/v2/jobs/{}/workflow", done["id"].as_str().unwrap());
    assert_eq!(
        expect(server.get(&path), 200).await.json(),
        json!({"workflow": body["workflow"], "format": "api"})
    );
    let path = format!("/api/v2/assets/{}", asset["id"].as_str().unwrap());
    assert_eq!(expect(server.get(&format!("{path}/content")), 200).await.body, picture(8));
    expect(server.delete(&path), 204).await;
    expect(server.delete(&path), 404).await;
    let gone = submit(&server, &body, 422).await;
    assert_eq!(gone["error"]["code"], "missing_asset", "{gone}");
    // It is a job of ours as well.
    let ours = server.read(&format!("/jobs/{}", done["id"].as_str().unwrap()), 200).await.json();
    assert_eq!((&ours["workflow"], &ours["status"]), (&json!("prompt"), &json!("succeeded")));
    let erase = server.delete(&format!("/jobs/{}/outputs", done["id"].as_str().unwrap()));
    server.expect(erase, 200).await;
    assert_eq!(ended(&server, &job).await["outputs"], json!([]));
    expect(server.get(&format!("/api/v2/assets/{id}/content")), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_worded_as_the_document_says() {
    let server = Comfyport::simulated_with(&ON);
    let code = async |body: Value, status: u16| submit(&server, &body, status).await["error"]["code"].clone();
    assert_eq!(code(json!({"workflow": {"nodes": [], "links": []}}), 422).await, "workflow_format_ui");
    assert_eq!(code(json!({"workflow": {}}), 422).await, "invalid_workflow");
    assert_eq!(code(json!({"workflow": 7}), 422).await, "invalid_workflow");
    assert_eq!(code(json!({}), 422).await, "invalid_workflow");
    let unknown = json!({"1": {"class_type": "NoSuchNode", "inputs": {}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}});
    let refused = submit(&server, &json!({"workflow": unknown}), 422).await;
    assert_eq!(refused["error"]["code"], "invalid_workflow", "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("NoSuchNode"), "{refused}");
    for (name, value) in [
        ("webhook_url", json!("https://a.example/")),
        ("inputs", json!({})),
        ("extra_data", json!({"api_key_comfy_org": "sesame"})),
        ("metadata", json!({"a": 7})),
    ] {
        let body = json!({"workflow": plain(16), name: value});
        assert_eq!(code(body, 422).await, "validation_failed", "{name}");
    }
    for info in [json!({}), json!({"id": "7"}), json!({"id": uuid::Uuid::new_v4()})] {
        let asset = json!({"__type": "core/ASSET", "info": info});
        assert_eq!(code(json!({"workflow": enlarge(asset)}), 422).await, "missing_asset", "{info}");
    }
    // A key is used once, whatever became of what it was used for.
    let keyed = |width: u32| {
        server
            .post("/api/v2/jobs")
            .header("idempotency-key", "k")
            .body(json!({"workflow": plain(width)}).to_string())
    };
    expect(keyed(16), 201).await;
    for width in [16, 17] {
        assert_eq!(expect(keyed(width), 422).await.json()["error"]["code"], "idempotency_key_reuse");
    }
    // One that led to nothing is free again.
    let free =
        |body: Value| server.post("/api/v2/jobs").header("idempotency-key", "l").body(body.to_string());
    expect(free(json!({"workflow": {}})), 422).await;
    expect(free(json!({"workflow": plain(16)})), 201).await;
    for path in ["/api/v2/jobs/7", "/api/v2/assets/7", "/api/v2/assets/7/content", "/api/v2/nothing"] {
        assert_eq!(expect(server.get(path), 404).await.json()["error"]["code"], "not_found", "{path}");
    }
    let probe = server.get("/api/v2/assets/by-hash/blake3:00").build().unwrap();
    let (url, http) = (probe.url().clone(), reqwest::Client::new());
    assert_eq!(http.head(url).send().await.unwrap().status(), 404);
    expect(server.post("/api/v2/assets").multipart(Form::new().text("file_path", "x")), 422).await;
    expect(server.post("/api/v2/assets").multipart(form(b"no file at all".to_vec(), None)), 422).await;
    // A node that fails is told in the job.
    let job = submit(&server, &json!({"workflow": enlarge(json!("nothing-there.png"))}), 201).await;
    let failed = ended(&server, &job).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("workflow_rejected")),
        "{failed}"
    );
    // Off unless it is turned on; graphs have a switch of their own.
    let off = Comfyport::simulated();
    off.expect(off.get("/api/v2/jobs/7"), 404).await;
    let off = Comfyport::simulated_with(&ON[..1]);
    let answer = expect(off.post("/api/v2/jobs").body("{}"), 403).await.json();
    assert_eq!(answer["error"]["code"], "forbidden");
    expect(off.post("/api/v2/assets").multipart(form(picture(8), None)), 201).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_watched_and_cancelled() {
    let engine = Comfyport::slow_simulator(100);
    let server = Comfyport::in_front_of_with(engine.url(), &ON);
    let text =
        std::fs::read_to_string(crate::process::repository("workflow_templates/sd15/txt2img.json")).unwrap();
    let mut graph: Value = serde_json::from_str(&text).unwrap();
    for node in graph.as_object_mut().unwrap().values_mut().filter(|node| node["class_type"] == "KSampler") {
        node["inputs"]["steps"] = json!(500);
    }
    let job = submit(&server, &json!({"workflow": graph}), 201).await;
    let events = server.get(job["urls"]["events"].as_str().unwrap()).send();
    let mut events = events.await.unwrap();
    let mut seen = String::new();
    while !seen.contains("event: progress") {
        seen.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    let cancel = || server.post(job["urls"]["cancel"].as_str().unwrap());
    let cancelled = expect(cancel(), 200).await.json();
    assert!(["canceling", "canceled"].contains(&cancelled["status"].as_str().unwrap()), "{cancelled}");
    while let Some(chunk) = events.chunk().await.unwrap() {
        seen.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let told: Vec<(&str, Value)> = seen
        .split("\n\n")
        .filter_map(|frame| frame.strip_prefix("event: ")?.split_once("\ndata: "))
        .map(|(name, data)| (name, serde_json::from_str(data).unwrap()))
        .collect();
    assert_eq!(told[0].0, "status", "{seen}");
    let progress = told.iter().find(|(name, _)| *name == "progress").unwrap();
    assert!(progress.1["nodes_total"].as_u64() > Some(3) && progress.1["value"].is_f64(), "{seen}");
    assert_eq!((told.last().unwrap().0, &told.last().unwrap().1["status"]), ("status", &json!("canceled")));
    assert_eq!(ended(&server, &job).await["status"], "canceled");
    assert_eq!(expect(cancel(), 200).await.json()["status"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_see_their_own_alone() {
    let folder = tempfile::tempdir().unwrap();
    let key = |arguments: &[&str]| {
        let place = ["--data-dir", folder.path().to_str().unwrap(), "--simulate"];
        let made = crate::process::run(&[&["keys", "create"], arguments, &place].concat());
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let (one, other) = (key(&["one"]), key(&["other"]));
    let (reader, bound) = (key(&["reader", "--scope", "read"]), key(&["bound", "--workflow", "image/*"]));
    let server = Comfyport::simulated_in(folder.path(), &ON);
    let upload = |key: &str| server.post("/api/v2/assets").bearer_auth(key).multipart(form(picture(8), None));
    let refused = expect(server.post("/api/v2/assets").multipart(form(picture(8), None)), 401).await.json();
    assert_eq!(refused["error"]["code"], "unauthorized");
    assert_eq!(expect(upload(&reader), 403).await.json()["error"]["code"], "forbidden");
    let asset = expect(upload(&one), 201).await.json();
    let body = json!({"workflow": enlarge(reference(&asset["id"]))}).to_string();
    let submit = |key: &str| server.post("/api/v2/jobs").bearer_auth(key).body(body.clone());
    expect(submit(&bound), 403).await;
    assert_eq!(expect(submit(&other), 422).await.json()["error"]["code"], "missing_asset");
    let job = expect(submit(&one), 201).await.json();
    let path = job["urls"]["self"].as_str().unwrap();
    let mut done = Value::Null;
    while done["status"] != "succeeded" {
        done = expect(server.get(path).bearer_auth(&one), 200).await.json();
        assert_ne!(done["status"], "failed", "{done}");
    }
    let output = done["outputs"][0]["id"].as_str().unwrap().to_owned();
    let asset_path = format!("/api/v2/assets/{}", asset["id"].as_str().unwrap());
    for path in [path.to_owned(), format!("{path}/workflow"), asset_path, format!("/api/v2/assets/{output}")]
    {
        expect(server.get(&path).bearer_auth(&one), 200).await;
        expect(server.get(&path).bearer_auth(&other), 404).await;
    }
    // The addresses in answers open by themselves, and nothing else does.
    for url in [&done["outputs"][0]["url"], &asset["url"]] {
        let url = url.as_str().unwrap();
        assert_eq!(reqwest::get(url).await.unwrap().status(), 200);
        assert_eq!(reqwest::get(url.split('?').next().unwrap()).await.unwrap().status(), 401);
    }
}
