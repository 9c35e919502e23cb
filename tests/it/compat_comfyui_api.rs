//! SaladTechnologies' comfyui-api before our jobs, as its callers use it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    host::{Host, There},
    process::Comfyport,
    sink::{Heard, Reply, Sink},
};

const ON: [(&str, &str); 2] =
    [("COMFYPORT_COMPAT_COMFYUI_API", "true"), ("COMFYPORT_PROMPT_ROUTE_ENABLED", "true")];
const SECRET: (&str, &str) = ("COMFYPORT_WEBHOOKS_SECRETS", "[\"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\"]");

fn server(settings: &[(&str, &str)]) -> Comfyport {
    Comfyport::simulated_with(&[&ON[..], settings].concat())
}

fn picture(number: u8) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_pixel(8, 6, image::Rgb([number, 0, 0]));
    pixels.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

/// Loads a picture, enlarges and saves it.
fn enlarge(image: &str) -> Value {
    json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], "upscale_method": "nearest-exact",
            "width": 32, "height": 24, "crop": "disabled"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "out"},
            "_meta": {"title": "Save"}},
    })
}

/// Makes pictures out of nothing.
fn plain(count: u32) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": count, "color": 255}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "out"}},
    })
}

fn decoded(image: &Value) -> image::DynamicImage {
    image::load_from_memory(&STANDARD.decode(image.as_str().unwrap()).unwrap()).unwrap()
}

fn allow(ports: &[u16]) -> String {
    json!(ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>()).to_string()
}

fn port(sink: &Sink) -> u16 {
    sink.url().rsplit_once(':').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_with_files_are_run_and_answered() {
    let host = Host::new(&[("/a.png", There::File(picture(1)))]).await;
    let server = server(&[("COMFYPORT_FETCH_ALLOW", &allow(&[host.port]))]);
    let base64 = STANDARD.encode(picture(2));
    let data_uri = format!("data:image/png;base64,{base64}");
    let mut names = Vec::new();
    for image in [host.url("/a.png"), base64.clone(), data_uri] {
        let body = json!({"prompt": enlarge(&image), "id": "mine", "convert_output": {"format": "jpg"}});
        let answer = server.call("/prompt", &body, 200).await;
        assert_eq!((&answer["id"], &answer["filenames"]), (&json!("mine"), &json!(["9.jpg"])), "{answer}");
        let picture = decoded(&answer["images"][0]);
        assert_eq!((picture.width(), picture.height()), (32, 24));
        assert_eq!(answer["convert_output"], json!({"format": "jpg"}));
        // Files are repeated by name.
        let name = answer["prompt"]["1"]["inputs"]["image"].as_str().unwrap();
        assert!(name.len() == 68 && name.ends_with(".png"), "{name}");
        names.push(format!("comfyport/{name}"));
        assert_eq!(answer["prompt"]["9"]["_meta"]["title"], "Save");
        let stats = &answer["stats"];
        for name in ["start", "end", "duration"] {
            assert!(stats["comfy_execution"][name].is_u64(), "{stats}");
        }
        assert!(stats["total_time"].as_u64() >= stats["comfy_round_trip_time"].as_u64(), "{stats}");
    }
    // It is a job like any other, found by its caller's name for it.
    let jobs = server.read("/jobs?tag=id:mine", 200).await.json();
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 3, "{jobs}");
    // A bare graph is taken as before, and a file that is on the engine by its name.
    let bare = server.call("/prompt", &plain(1), 200).await;
    assert!(bare["outputs"]["9"][0]["url"].is_string(), "{bare}");
    let named = server.call("/prompt", &json!({"prompt": enlarge(&names[0])}), 200).await;
    assert_eq!(named["prompt"]["1"]["inputs"]["image"], names[0]);
    let id: uuid::Uuid = named["id"].as_str().unwrap().parse().unwrap();
    server.read(&format!("/jobs/{id}"), 200).await;
    let ready = server.read("/ready", 200).await.json();
    assert_eq!((&ready["status"], &ready["ready"]), (&json!("ready"), &json!(true)));
    let models = server.read("/models", 200).await.json();
    assert!(!models["checkpoints"].as_array().unwrap().is_empty(), "{models}");
    // With a query, the same address is answered as where nothing else is spoken.
    let ours = server.read("/models?needed=true", 200).await.json();
    assert!(!ours["models"].as_array().unwrap().is_empty(), "{ours}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_where_they_are_meant_to_and_nowhere_else() {
    let host =
        Host::new(&[("/in/a.png", There::File(picture(1))), ("/b.png", There::File(picture(2)))]).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ON[0],
        ON[1],
        SECRET,
        ("COMFYPORT_FETCH_ALLOW", &allow(&[host.port])),
        ("COMFYPORT_LOG_LEVEL", "trace"),
    ];
    let server = Comfyport::simulated_in(folder.path(), &settings);
    let credentials = json!([
        {"url_pattern": host.url("/in/*"), "auth": {"type": "bearer", "token": "sesame-1"}},
        {"url_pattern": "**/b.png", "auth": {"type": "query", "query_param": "sig", "query_value": "sesame-2"}},
    ]);
    let mut graph = enlarge(&host.url("/in/a.png"));
    graph["11"] = json!({"class_type": "LoadImage", "inputs": {"image": host.url("/b.png")}});
    graph["19"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["11", 0]}});
    let answer =
        server.call("/prompt", &json!({"prompt": graph, "credentials": credentials.clone()}), 200).await;
    assert_eq!(answer["images"].as_array().unwrap().len(), 2, "{answer}");
    let input = json!({"image": host.url("/in/a.png"), "width": 16, "height": 16});
    let body = json!({"input": input, "credentials": credentials});
    let typed = server.call("/workflow/image/resize", &body, 200).await;
    let name = typed["prompt"]["1"]["inputs"]["image"].as_str().unwrap();
    assert!(name.len() == 68 && typed["input"]["image"] == json!({"upload": name}), "{typed}");
    let heads = host.heads();
    let of = |path: &str| heads.iter().filter(|head| head.contains(path)).collect::<Vec<_>>();
    assert_eq!((of("GET /in/a.png ").len(), of("GET /b.png?sig=sesame-2 ").len()), (2, 1), "{heads:?}");
    for (path, bears) in [("/in/a.png", true), ("/b.png", false)] {
        assert!(of(path).iter().all(|head| head.contains("Bearer sesame-1") == bears), "{heads:?}");
    }
    for said in [answer, typed] {
        assert!(said.get("credentials").is_none() && !said.to_string().contains("sesame"), "{said}");
    }
    assert!(!server.log().contains("sesame"), "{}", server.log());
    drop(server);
    let mut kept = Vec::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(one) = folders.pop() {
        for entry in std::fs::read_dir(one).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { kept.push(std::fs::read(path).unwrap()) }
        }
    }
    assert!(kept.len() > 1 && kept.iter().all(|data| !data.windows(6).any(|six| six == b"sesame")));
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_are_called_with_their_parameters_in_an_envelope() {
    let server = server(&[]);
    let input = json!({"prompt": "a fox", "width": 64, "height": 64, "steps": 1, "seed": u64::MAX});
    let body = json!({"input": input, "id": "w-1", "convert_output": {"format": "webp", "options":
        {"lossless": true, "effort": 6}}});
    let answer = server.call("/workflow/sd15/txt2img", &body, 200).await;
    assert_eq!((&answer["input"], &answer["id"]), (&input, &json!("w-1")), "{answer}");
    let sampler =
        answer["prompt"].as_object().unwrap().values().find(|node| node["class_type"] == "KSampler");
    assert_eq!(sampler.unwrap()["inputs"]["seed"], u64::MAX, "{answer}");
    let image = STANDARD.decode(answer["images"][0].as_str().unwrap()).unwrap();
    assert_eq!((&image[8..12], &image[12..16]), (&b"WEBP"[..], &b"VP8L"[..]));
    let wrong = server.call("/workflow/sd15/txt2img", &json!({"input": {"prmopt": "x"}}), 422).await;
    assert!(wrong["error"].is_string() && wrong["errors"][0]["did_you_mean"] == "prompt", "{wrong}");
    server.call("/workflow/sd15/nothing", &json!({"input": {}}), 404).await;
    // The same key, the same job; what the envelope says is part of what it is a key for.
    let keyed = |body: &Value| {
        server.post("/workflow/sd15/txt2img").header("idempotency-key", "k").body(body.to_string())
    };
    let first = server.expect(keyed(&body), 200).await.json();
    assert_eq!(server.expect(keyed(&body), 200).await.json(), first);
    let other = json!({"input": input, "id": "w-2"});
    server.expect(keyed(&other), 422).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_place() {
    let server = server(&[SECRET]);
    let refused = async |body: Value, status: u16, location: &str, said: &str| {
        let answer = server.call("/prompt", &body, status).await;
        let words = answer.to_string();
        assert!(words.contains(said), "{body}: {answer}");
        assert_eq!(answer["location"].as_str().unwrap_or_default(), location, "{answer}");
        assert_eq!(answer["error"], answer["detail"], "{answer}");
    };
    let graph = plain(1);
    for (member, value, status, location, said) in [
        ("hf_upload", json!({"repo": "a/b"}), 501, "", "http_upload"),
        ("s3", json!({"bucket": "theirs", "prefix": "a"}), 422, "s3.bucket", "[[bucket]]"),
        (
            "azure_blob_upload",
            json!({"container": "theirs"}),
            422,
            "azure_blob_upload.container",
            "[[bucket]]",
        ),
        (
            "http_upload",
            json!({"url_prefix": "http://169.254.169.254/x"}),
            422,
            "http_upload.url_prefix",
            "public",
        ),
        ("webhook_v2", json!("http://127.0.0.1:9/hook"), 422, "webhook_v2", "webhooks.allow"),
        ("webhook", json!(7), 422, "webhook", "address"),
        ("convert_output", json!({"format": "gif"}), 422, "convert_output", "format"),
        (
            "convert_output",
            json!({"format": "webp", "options": {"effort": 7}}),
            422,
            "convert_output",
            "0 to 6",
        ),
        (
            "convert_output",
            json!({"format": "jpeg", "options": {"crf": 7}}),
            422,
            "convert_output.options.crf",
            "jpeg",
        ),
        ("credentials", json!([{"url_pattern": "**", "auth": {"type": "s3"}}]), 422, "credentials", "s3"),
        ("id", json!(""), 422, "id", "128"),
        ("webhok", json!("x"), 422, "webhok", "did_you_mean"),
    ] {
        refused(json!({"prompt": graph, member: value}), status, location, said).await;
    }
    let two =
        json!({"prompt": graph, "s3": {"bucket": "a"}, "http_upload": {"url_prefix": "https://a.example/"}});
    let two = server.call("/prompt", &two, 422).await;
    assert_eq!(two["errors"].as_array().unwrap().len(), 2, "{two}");
    refused(json!({"prompt": {}}), 422, "prompt", "class_type").await;
    let no_output = json!({"1": {"class_type": "EmptyImage", "inputs": {}}});
    refused(json!({"prompt": no_output}), 422, "prompt", "SaveImage").await;
    let place = "prompt.1.inputs.image";
    refused(json!({"prompt": enlarge("data:image/png;base64,!!")}), 422, place, "base64").await;
    refused(json!({"prompt": enlarge("http://10.0.0.1/a.png")}), 422, place, "public").await;
    refused(json!({"prompt": enlarge("data:image/png;base64,aGVsbG8=")}), 415, place, "PNG").await;
    let model = json!({"1": {"class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "https://models.example/a.safetensors"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}});
    refused(json!({"prompt": model}), 501, "", "ckpt_name").await;
    server.call("/download", &json!({"url": "https://a.example/x", "model_type": "loras"}), 501).await;
    server.call("/interrupt", &json!({"id": "nobody's"}), 404).await;
    // A node that fails is told with the status of that.
    let missing = server.call("/prompt", &json!({"prompt": enlarge("nothing-there.png")}), 502).await;
    assert_eq!(missing["code"], "workflow_rejected", "{missing}");
    // Off unless it is turned on, and graphs have a switch of their own.
    let off = Comfyport::simulated_with(&ON[..1]);
    assert!(off.call("/prompt", &json!({"prompt": graph}), 403).await["error"].is_string());
    off.call("/workflow/image/resize", &json!({"input": {}}), 422).await;
    let off = Comfyport::simulated_with(&ON[1..]);
    for path in ["/workflow/image/resize", "/interrupt"] {
        off.call(path, &json!({"input": {}}), 404).await;
    }
    assert!(off.read("/models", 200).await.json()["models"].is_array());
}

/// Verifies a webhook as its receivers do.
fn verified(heard: &Heard) -> Value {
    let webhook = standardwebhooks::Webhook::new("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz").unwrap();
    webhook.verify(&heard.body, &heard.headers).unwrap();
    heard.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_worded_as_its_callers_expect_and_signed() {
    let sink = Sink::start().await;
    let hooks = json!([sink.url()]).to_string();
    let server =
        server(&[SECRET, ("COMFYPORT_WEBHOOKS_ALLOW", &hooks), ("COMFYPORT_COMPAT_INLINE_BYTES", "400")]);
    let body =
        json!({"prompt": plain(3), "id": "w", "webhook": sink.at("/v1"), "webhook_v2": sink.at("/v2")});
    let accepted = server.call("/prompt", &body, 202).await;
    assert_eq!((&accepted["status"], &accepted["id"]), (&json!("ok"), &json!("w")));
    assert_eq!((&accepted["prompt"], accepted.get("images")), (&body["prompt"], None));
    let heard = sink.until(|heard| heard.len() == 4).await;
    let whole = verified(heard.iter().find(|one| one.path == "/v2").unwrap());
    assert_eq!((&whole["type"], &whole["id"]), (&json!("prompt.complete"), &json!("w")), "{whole}");
    assert_eq!((&whole["prompt"], &whole["webhook_v2"]), (&body["prompt"], &body["webhook_v2"]));
    assert_eq!(whole["filenames"].as_array().unwrap().len(), 3);
    // As many as may be together are in it, the others are at addresses that open.
    let images: Vec<&str> =
        whole["images"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    let linked: Vec<&&str> = images.iter().filter(|one| one.starts_with("/jobs/")).collect();
    assert!(!linked.is_empty() && linked.len() < 3, "{images:?}");
    assert_eq!(decoded(&whole["images"][0]).width(), 16);
    server.read(linked[0], 200).await;
    let mut names = Vec::new();
    for one in heard.iter().filter(|one| one.path == "/v1") {
        let one = verified(one);
        assert_eq!((&one["event"], &one["id"]), (&json!("output.complete"), &json!("w")), "{one}");
        assert_eq!(decoded(&one["image"]).width(), 16);
        assert!(one["stats"]["total_time"].is_u64() && one["prompt"] == body["prompt"]);
        names.push(one["filename"].as_str().unwrap().to_owned());
    }
    names.sort_unstable();
    assert_eq!(json!(names), whole["filenames"]);
    let ids: std::collections::BTreeSet<&str> = heard.iter().map(Heard::id).collect();
    assert_eq!(ids.len(), 4, "{ids:?}");
    // What looks like our own mark of a file in a caller's words stays as it is.
    let mut graph = plain(1);
    graph["9"]["_meta"] = json!({"images": {"$output": "9", "position": 0}});
    server.call("/prompt", &json!({"prompt": graph, "webhook_v2": sink.at("/mark")}), 202).await;
    let marked = verified(&sink.until_at("/mark", 1).await[0]);
    assert_eq!(marked["prompt"], graph, "{marked}");
    // The end of a job that fails is told as well.
    let body = json!({"prompt": enlarge("nothing-there.png"), "id": "f", "webhook_v2": sink.at("/failed")});
    server.call("/prompt", &body, 202).await;
    let failed = verified(&sink.until_at("/failed", 1).await[0]);
    assert_eq!((&failed["type"], &failed["id"]), (&json!("prompt.failed"), &json!("f")), "{failed}");
    assert!(
        failed["error"].as_str().unwrap().contains("refused") && failed["prompt"].is_object(),
        "{failed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_put_where_a_caller_says() {
    let sink = Sink::start().await;
    let hooks = json!([sink.url()]).to_string();
    let fetch = allow(&[port(&sink)]);
    let settings =
        [SECRET, ("COMFYPORT_WEBHOOKS_ALLOW", hooks.as_str()), ("COMFYPORT_FETCH_ALLOW", fetch.as_str())];
    let server = server(&settings);
    // One that is busy is asked again.
    sink.says("/out/9.png?sig=1", [Reply::Status(503)]);
    let prefix = sink.at("/out?sig=1");
    let body = json!({"prompt": plain(2), "http_upload": {"url_prefix": prefix}});
    let answer = server.call("/prompt", &body, 200).await;
    assert_eq!(answer["images"], json!([sink.at("/out/9.png"), sink.at("/out/9_2.png")]), "{answer}");
    assert!(!answer.to_string().contains("sig="), "{answer}");
    let first = sink.until_at("/out/9.png?sig=1", 2).await.remove(1);
    assert_eq!(image::load_from_memory(&first.body).unwrap().width(), 16);
    assert_eq!(
        (&first.headers["content-type"], first.headers.get("authorization")),
        (&"image/png".parse().unwrap(), None)
    );
    assert_eq!(first.headers["content-length"], first.body.len().to_string());
    // Without waiting, and told of.
    let body = json!({"prompt": plain(1), "http_upload": {"url_prefix": sink.at("/later/"), "async": true},
        "webhook_v2": sink.at("/hook")});
    server.call("/prompt", &body, 202).await;
    let told = verified(&sink.until_at("/hook", 1).await[0]);
    assert_eq!(told["images"], json!([sink.at("/later/9.png")]), "{told}");
    assert_eq!(sink.heard_at("/later/9.png").len(), 1);
    // What cannot be put there is a failure of the job, and told.
    sink.always_says("/no/9.png", Reply::Status(403));
    sink.always_says("/moved/9.png", Reply::With(302, "location", sink.at("/out/9.png")));
    for (folder, status) in [("/no", "403"), ("/moved", "302")] {
        let body = json!({"prompt": plain(1), "http_upload": {"url_prefix": sink.at(folder)}});
        let failed = server.call("/prompt", &body, 502).await;
        assert_eq!(failed["code"], "output_missing", "{failed}");
        assert!(failed["error"].as_str().unwrap().contains(status), "{failed}");
    }
    let body = json!({"prompt": plain(1), "http_upload": {"url_prefix": sink.at("/no"), "async": true},
        "webhook_v2": sink.at("/hook")});
    server.call("/prompt", &body, 202).await;
    let told = verified(&sink.until_at("/hook", 2).await[1]);
    assert_eq!(told["type"], "prompt.failed", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_what_runs_is_interrupted() {
    let engine = Comfyport::slow_simulator(100);
    let server = Comfyport::in_front_of_with(engine.url(), &[ON[0], ON[1], SECRET]);
    let input = json!({"prompt": "a fox", "width": 64, "height": 64, "steps": 500});
    let start = |id: &str| {
        let body = json!({"input": input, "id": id});
        tokio::spawn(server.post("/workflow/sd15/txt2img").body(body.to_string()).send())
    };
    let running = start("first");
    loop {
        let jobs = server.read("/jobs?status=running&tag=id:first", 200).await.json();
        if jobs["jobs"].as_array().is_some_and(|jobs| jobs.iter().any(|job| job["progress"].is_object())) {
            break;
        }
    }
    server.call("/engines/comfyui:drain", &json!({}), 200).await;
    let waiting = start("second");
    loop {
        let jobs = server.read("/jobs?status=queued&tag=id:second", 200).await.json();
        if jobs["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty()) {
            break;
        }
    }
    for (id, call) in [("second", waiting), ("first", running)] {
        let answer = server.call("/interrupt", &json!({"id": id}), 200).await;
        assert_eq!(answer, json!({"id": id, "interrupted": "success"}));
        let ended = call.await.unwrap().unwrap();
        assert_eq!(ended.status(), 409);
        assert!(ended.json::<Value>().await.unwrap()["error"].as_str().unwrap().contains("cancelled"));
        let failed = server.call("/interrupt", &json!({"id": id}), 404).await;
        assert_eq!((&failed["id"], &failed["interrupted"]), (&json!(id), &json!("failed")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_see_their_own_alone() {
    let folder = tempfile::tempdir().unwrap();
    let keys = |name: &str, scope: &[&str]| {
        let data = folder.path().to_str().unwrap();
        let made = crate::process::run(
            &[&["keys", "create", name], scope, &["--data-dir", data, "--simulate"]].concat(),
        );
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let (one, other, reader) = (keys("one", &[]), keys("other", &[]), keys("reader", &["--scope", "read"]));
    let server = Comfyport::simulated_in(folder.path(), &ON);
    let body = json!({"prompt": plain(1), "id": "shared name", "http_upload": null}).to_string();
    server.expect(server.post("/prompt").body(body.clone()), 401).await;
    server.expect(server.post("/prompt").bearer_auth(&reader).body(body.clone()), 403).await;
    server.expect(server.post("/prompt").bearer_auth(&one).body(body), 200).await;
    let found = |key: &str| server.expect(server.get("/jobs?tag=id:shared%20name").bearer_auth(key), 200);
    assert_eq!(found(&one).await.json()["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(found(&other).await.json()["jobs"], json!([]));
    let interrupt = server.post("/interrupt").bearer_auth(&other).body(r#"{"id":"shared name"}"#);
    server.expect(interrupt, 404).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs servers of S3 and Azure"]
async fn outputs_go_to_buckets_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = String::new();
    for (variable, name) in [("BUCKET_S3", "results"), ("BUCKET_AZ", "blobs")] {
        let text = std::env::var(variable).expect("`.ci/buckets` starts the server and says where it is");
        let settings: Value = serde_json::from_str(&text).unwrap();
        let options = settings["options"].as_object().unwrap();
        let options: Vec<String> = options.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let (url, options) = (&settings["address"], options.join(", "));
        config.push_str(&format!("[[bucket]]\nname = \"{name}\"\nurl = {url}\noptions = {{ {options} }}\n"));
    }
    let path = folder.path().join("comfyport.toml");
    std::fs::write(&path, config).unwrap();
    let server = server(&[("COMFYPORT_CONFIG", path.to_str().unwrap())]);
    for (member, wish, scheme) in [
        ("s3", json!({"bucket": "comfyport", "prefix": "a/b/"}), "s3://comfyport/out/"),
        ("s3", json!({"bucket": "results", "prefix": "a/b"}), "s3://comfyport/out/"),
        ("azure_blob_upload", json!({"container": "comfyport", "blob_prefix": "a/b"}), "az://comfyport/out/"),
    ] {
        let answer = server.call("/prompt", &json!({"prompt": plain(1), member: wish}), 200).await;
        let url = answer["images"][0].as_str().unwrap();
        assert!(url.starts_with(scheme) && url.contains("a/b/") && url.ends_with("/9.png"), "{answer}");
        // Somebody can read it there.
        let link = answer["outputs"]["9"][0]["stored"]["link"].as_str().unwrap();
        let read = reqwest::get(link).await.unwrap().bytes().await.unwrap();
        assert_eq!(image::load_from_memory(&read).unwrap().width(), 16);
    }
}
