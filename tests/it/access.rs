//! Who may call, and what of others he gets to know: nothing.

use std::{path::Path, process::Output, time::Duration};

use comfyport_simulator::{Options, Simulator};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    host::Host,
    process::{Comfyport, command, run},
    sink::Sink,
};

const PAINT: &str = "/sd15/txt2img";

/// A data directory with keys, and a server on it.
struct House {
    data: TempDir,
    server: Comfyport,
}

/// The command line's view of keys, beside a server or without one.
fn keys(data: &Path, arguments: &[&str]) -> Output {
    let place = ["--data-dir", data.to_str().unwrap(), "--simulate"];
    command(&[&["keys"], arguments, &place].concat()).output().unwrap()
}

/// Makes a key and answers all of it.
fn key(data: &Path, arguments: &[&str]) -> String {
    let output = keys(data, &[&["create"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn id_of(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

impl House {
    fn new(settings: &[(&str, &str)], callers: &[&[&str]]) -> (Self, Vec<String>) {
        let data = tempfile::tempdir().unwrap();
        let made = callers.iter().map(|arguments| key(data.path(), arguments)).collect();
        let server = Comfyport::simulated_in(data.path(), settings);
        (Self { data, server }, made)
    }

    fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.data.path().join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn with(request: RequestBuilder, key: &str) -> RequestBuilder {
    request.header("x-api-key", key)
}

fn paint(server: &Comfyport, key: &str) -> RequestBuilder {
    with(server.post(PAINT).body(r#"{"prompt":"a fox","steps":1,"width":64,"height":64}"#), key)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_open_and_wrong_ones_all_look_alike() {
    let (house, made) = House::new(&[], &[&["ci"], &["gone"], &["late"]]);
    let server = &house.server;
    assert!(server.log().contains("API keys are needed"));
    assert!(server.log().contains("-H \"authorization: Bearer $COMFYPORT_API_KEY\""), "{}", server.log());
    assert!(keys(house.data.path(), &["revoke", id_of(&made[1])]).status.success());
    let mut bodies = std::collections::BTreeSet::new();
    let forged = format!("{}x", &made[0][..made[0].len() - 1]);
    let noticed = async {
        while with(server.get("/jobs"), &made[1]).send().await.unwrap().status() == StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), noticed)
        .await
        .expect("a key that was taken back still opens");
    for wrong in ["", "nonsense", "cfp_", &forged, &made[1], "cfp_000000000000_x"] {
        let mut answer = server.expect(with(server.get("/jobs"), wrong), 401).await.json();
        answer["request_id"] = Value::Null;
        bodies.insert(answer.to_string());
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let refused = server.read("/jobs", 401).await;
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    server.expect(with(server.get("/jobs"), &made[0]), 200).await;
    server.expect(server.get("/jobs").bearer_auth(&made[0]), 200).await;
    let result = server.expect(paint(server, &made[0]), 200).await.json();
    let picture = result["outputs"]["image"][0]["url"].as_str().unwrap();
    server.read(picture, 401).await;
    server.expect(with(server.get(picture), &made[0]), 200).await;
    // What people look at first needs none.
    for path in ["/", "/health", "/ready", "/docs/", "/openapi.json"] {
        server.read(path, 200).await;
    }
    for path in ["/workflows", "/metrics", "/engines", "/webhooks", "/usage", PAINT] {
        server.read(path, 401).await;
    }
}

/// Whether the server can work is for everybody, which engines it has and how they are is not.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_hear_nothing_of_engines() {
    let (house, made) = House::new(&[], &[&["ci"], &["root", "--scope", "admin"]]);
    let server = &house.server;
    let ready = server.read("/ready", 200).await.json();
    assert_eq!((&ready["ready"], ready.get("engines")), (&json!(true), None), "{ready}");
    let ready = server.expect(with(server.get("/ready"), &made[0]), 200).await.json();
    assert_eq!(ready["engines"][0]["engine"], "simulator", "{ready}");

    server.expect(with(server.post("/engines/simulator:drain"), &made[1]), 200).await;
    let detail = |problem: Value| problem["detail"].as_str().unwrap().to_owned();
    let said = detail(server.read("/ready", 503).await.json());
    assert!(said.contains("with a key") && !said.contains("simulator"), "{said}");
    let said = detail(server.expect(with(server.get("/ready"), &made[0]), 503).await.json());
    assert_eq!(said, "simulator: an operator drained it");
}

/// Everything that names a job, asked for by its owner and by somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn others_are_not_there() {
    let (house, made) = House::new(&[], &[&["one"], &["other"], &["root", "--scope", "admin"]]);
    let [one, other, root] = [&made[0], &made[1], &made[2]];
    let server = &house.server;
    let result = server.expect(paint(server, one), 200).await.json();
    let id = result["id"].as_str().unwrap();
    let body =
        json!({"grid": {"seed": [1, 2]}, "base": {"prompt": "a fox", "width": 64, "height": 64, "steps": 1}});
    let batch = with(server.post(&format!("{PAINT}:batch")).body(body.to_string()), one);
    let batch = server.expect(batch, 202).await.json();
    // Its contact sheet is there once there are pictures; events end with their job.
    for job in batch["jobs"].as_array().unwrap() {
        let events = format!("{}/events", job["status_url"].as_str().unwrap());
        server.expect(with(server.get(&events), one), 200).await;
    }
    let batch = batch["id"].as_str().unwrap();
    let routes = [
        (Method::GET, format!("/jobs/{id}")),
        (Method::GET, format!("/jobs/{id}/events")),
        (Method::GET, format!("/jobs/{id}/outputs/image/0")),
        (Method::GET, format!("/jobs/{id}/webhooks")),
        (Method::POST, format!("/jobs/{id}/links")),
        (Method::POST, format!("/jobs/{id}:retry")),
        (Method::POST, format!("/jobs/{id}/webhooks/x:redeliver")),
        (Method::DELETE, format!("/jobs/{id}")),
        (Method::GET, format!("/batches/{batch}")),
        (Method::GET, format!("/batches/{batch}/contact-sheet")),
        (Method::DELETE, format!("/batches/{batch}")),
    ];
    for (method, path) in &routes {
        let request = |key: &str| {
            let request = match *method {
                Method::POST => server.post(path),
                Method::DELETE => server.delete(path),
                _ => server.get(path),
            };
            with(request, key)
        };
        let answer = server.expect(request(other), 404).await;
        assert_eq!(answer.json()["code"], "not_found", "{method} {path}");
        // The same words as for what never was.
        let nowhere = path.replace(id, "00000000-0000-4000-8000-000000000000");
        let nowhere = nowhere.replace(batch, "00000000-0000-4000-8000-000000000000");
        let never = match *method {
            Method::POST => server.post(&nowhere),
            Method::DELETE => server.delete(&nowhere),
            _ => server.get(&nowhere),
        };
        let never = server.expect(with(never, other), 404).await;
        assert_eq!(answer.json()["detail"], never.json()["detail"], "{method} {path}");
        let own = request(one).send().await.unwrap().status();
        assert!(own != StatusCode::NOT_FOUND || path.contains("redeliver"), "{method} {path}: {own}");
    }
    let listed = async |key: &str, query: &str| {
        let list = server.expect(with(server.get(&format!("/jobs{query}")), key), 200).await.json();
        list["jobs"].as_array().unwrap().len()
    };
    assert_eq!(listed(other, "").await, 0);
    assert_eq!(listed(other, &format!("?owner={}", id_of(one))).await, 0);
    assert!(listed(one, "").await >= 3);
    assert_eq!(listed(root, &format!("?owner={}", id_of(one))).await, listed(one, "").await);
    server.expect(with(server.get(&format!("/jobs/{id}")), root), 200).await;
    // The same key for an idempotent request is another one of another caller.
    let same = |key: &str| paint(server, key).header("idempotency-key", "mine");
    let first = server.expect(same(one), 200).await.json();
    let second = server.expect(same(other), 200).await.json();
    assert_ne!(first["id"], second["id"]);
    assert_eq!(server.expect(same(one), 200).await.json()["id"], first["id"]);
    // Nor is a result of somebody else's shared.
    let cached = |key: &str| {
        let body = r#"{"prompt":"a fox","seed":7,"steps":1,"width":64,"height":64,"options":{"cache":true}}"#;
        with(server.post(PAINT).body(body), key)
    };
    server.expect(cached(one), 200).await;
    assert_eq!(server.expect(cached(one), 200).await.header("x-comfyport-cache"), "hit");
    assert_eq!(server.expect(cached(other), 200).await.header("x-comfyport-cache"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_share_an_owner_share_its_jobs() {
    let (house, made) = House::new(&[], &[&["old", "--owner", "acme"], &["new", "--owner", "acme"]]);
    let result = house.server.expect(paint(&house.server, &made[0]), 200).await.json();
    let path = format!("/jobs/{}", result["id"].as_str().unwrap());
    house.server.expect(with(house.server.get(&path), &made[1]), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_do_no_more_than_they_may() {
    let callers: [&[&str]; 3] = [
        &["reader", "--scope", "read"],
        &["resizer", "--workflow", "image/*"],
        &["root", "--scope", "admin"],
    ];
    let (house, made) = House::new(&[("COMFYPORT_PROMPT_ROUTE_ENABLED", "true")], &callers);
    let [reader, resizer, root] = [&made[0], &made[1], &made[2]];
    let server = &house.server;
    server.expect(with(server.get("/jobs"), reader), 200).await;
    let refused = server.expect(paint(server, reader), 403).await.json();
    assert_eq!(refused["code"], "forbidden");
    assert!(refused["detail"].as_str().unwrap().contains("`run`"), "{refused}");
    let refused = server.expect(paint(server, resizer), 403).await.json();
    assert!(refused["detail"].as_str().unwrap().contains("image/*"), "{refused}");
    server.expect(with(server.post("/prompt").body("{}"), resizer), 403).await;
    server.expect(with(server.post("/image/resize:check").body("{}"), resizer), 422).await;
    for path in ["/engines", "/metrics", "/webhooks"] {
        server.expect(with(server.get(path), reader), 403).await;
        server.expect(with(server.get(path), root), 200).await;
    }
    server.expect(with(server.post("/engines/simulator:drain"), reader), 403).await;
    server.expect(with(server.post("/engines/simulator:drain"), root), 200).await;
    let engines =
        command(&["engines", "--server", server.url()]).env("COMFYPORT_API_KEY", root).output().unwrap();
    assert!(String::from_utf8_lossy(&engines.stdout).contains("drained"));
    let engines = run(&["engines", "--server", server.url()]);
    let said = String::from_utf8_lossy(&engines.stderr);
    assert!(said.contains("API key") && said.contains("COMFYPORT_API_KEY is not set"), "{said}");
    // What was refused and what an admin did is written down, without any key.
    let audit = house.audit();
    let find = |request: &str, subject: &str| {
        audit.iter().find(|entry| entry["request"] == request && entry["subject"] == subject)
    };
    let refused = find("POST /engines/simulator:drain", id_of(reader)).unwrap();
    assert_eq!((&refused["kind"], &refused["status"]), (&json!("refused"), &json!(403)));
    assert_eq!(refused["address"], "127.0.0.1");
    let done = find("POST /engines/simulator:drain", id_of(root)).unwrap();
    assert_eq!((&done["kind"], &done["status"]), (&json!("admin"), &json!(200)));
    let text = serde_json::to_string(&audit).unwrap();
    assert!(made.iter().all(|key| !text.contains(key.as_str())));
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_and_active_jobs_are_bounded_and_said() {
    let callers: [&[&str]; 2] = [&["slow", "--per-minute", "3"], &["few", "--active-jobs", "2"]];
    let (house, made) = House::new(&[("COMFYPORT_ACCESS_WRONG_KEYS_PER_MINUTE", "3")], &callers);
    let server = &house.server;
    for left in ["2", "1", "0"] {
        let answer = server.expect(with(server.get("/jobs"), &made[0]), 200).await;
        assert_eq!(answer.header("ratelimit"), format!("\"key\";r={left}"));
        assert_eq!(answer.header("ratelimit-policy"), "\"key\";q=3;w=60");
    }
    let refused = server.expect(with(server.get("/jobs"), &made[0]), 429).await;
    assert_eq!(refused.json()["code"], "rate_limited");
    assert!((1..=21).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    // Nothing runs there, so that they stay.
    let admin = key(house.data.path(), &["root", "--scope", "admin"]);
    let drained = async {
        while with(server.post("/engines/simulator:drain"), &admin).send().await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), drained).await.expect("a new key is noticed");
    let later = || paint(server, &made[1]).header("prefer", "respond-async");
    let first = server.expect(later(), 202).await.json();
    server.expect(later(), 202).await;
    let refused = server.expect(later(), 429).await.json();
    assert_eq!(refused["code"], "too_many_jobs");
    let path = format!("/jobs/{}", first["id"].as_str().unwrap());
    server.expect(with(server.delete(&path), &made[1]), 200).await;
    server.expect(later(), 202).await;
    // Whoever tries keys out is slowed down; who has one is not. The tries before the new key was noticed count.
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let tried = with(server.get("/jobs"), "cfp_000000000000_x").send().await.unwrap();
        statuses.push(tried.status().as_u16());
    }
    assert_eq!(statuses.last(), Some(&429));
    assert!(statuses.iter().filter(|status| **status == 401).count() <= 3, "{statuses:?}");
    server.expect(with(server.get("/jobs"), &made[1]), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_open_outputs_without_a_key() {
    let (house, made) = House::new(&[], &[&["one"]]);
    let server = &house.server;
    let result = server.expect(paint(server, &made[0]), 200).await.json();
    let path = format!("/jobs/{}/links", result["id"].as_str().unwrap());
    let links = with(server.post(&path).body(r#"{"expires_in_s": 600}"#), &made[0]);
    let links = server.expect(links, 200).await.json();
    let picture = links["outputs"]["image"][0].as_str().unwrap();
    let opened = server.read(picture, 200).await;
    assert_eq!(opened.header("content-type"), "image/png");
    assert_eq!(opened.header("referrer-policy"), "no-referrer");
    for name in ["status_url", "events_url"] {
        server.read(links[name].as_str().unwrap(), 200).await;
    }
    let (file, query) = picture.split_once('?').unwrap();
    server.read(&format!("{file}?{}", query.replace("expires=1", "expires=2")), 401).await;
    let status = links["status_url"].as_str().unwrap().split_once('?').unwrap().0;
    server.read(&format!("{status}?{query}"), 401).await;
    server.expect(server.delete(&format!("{status}?{query}")), 401).await;
    let long = with(server.post(&path).body(r#"{"expires_in_s": 99999999}"#), &made[0]);
    server.expect(long, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_counted_and_shown_to_its_owner() {
    let (house, made) = House::new(&[], &[&["one"], &["other"]]);
    let server = &house.server;
    server.expect(paint(server, &made[0]), 200).await;
    let owner = format!("owner:{}", id_of(&made[0]));
    let counted = async {
        loop {
            let used = server.expect(with(server.get("/usage?days=1"), &made[0]), 200).await.json();
            let days = used["usage"].as_array().unwrap().clone();
            if let Some(day) =
                days.iter().find(|day| day["subject"] == owner.as_str() && day["succeeded"] == 1)
            {
                assert_eq!(day["jobs"], 1);
                assert!(
                    days.iter().any(|day| day["requests"].as_i64().is_some_and(|requests| requests >= 1))
                );
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.expect("nothing was counted");
    let others = server.expect(with(server.get("/usage"), &made[1]), 200).await;
    assert!(!others.text().contains(&owner), "{}", others.text());
}

#[test]
fn a_public_address_wants_keys() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let refused = run(&["serve", "--simulate", "--listen", "0.0.0.0:0", "--data-dir", folder]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("comfyport keys create") && said.contains("--insecure"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_listed_origins_may_call() {
    let server = Comfyport::simulated_with(&[("COMFYPORT_SERVER_CORS_ORIGINS", "[\"https://app.example\"]")]);
    let from = |origin: &str| server.get("/workflows").header("origin", origin.to_owned());
    let allowed = server.expect(from("https://app.example"), 200).await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example");
    let refused = server.expect(from("https://evil.example"), 403).await;
    assert_eq!(refused.header("access-control-allow-origin"), "");
    let ask = reqwest::Client::new()
        .request(Method::OPTIONS, format!("{}{PAINT}", server.url()))
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = ask.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_with_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, secret) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&secret, made.signing_key.serialize_pem()).unwrap();
    let settings = [
        ("COMFYPORT_SERVER_TLS_CERT", chain.to_str().unwrap()),
        ("COMFYPORT_SERVER_TLS_KEY", secret.to_str().unwrap()),
    ];
    let server = Comfyport::simulated_with(&settings);
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let body = r#"{"prompt":"a fox","steps":1,"width":64,"height":64}"#;
    let answer = client.post(format!("https://localhost:{port}{PAINT}")).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    // Without TLS there is nothing, and others are not disturbed.
    assert!(reqwest::get(format!("http://localhost:{port}/health")).await.is_err());
    let health = client.get(format!("https://localhost:{port}/health")).send().await.unwrap();
    assert_eq!(health.status(), 200);
}

/// Everything that is said, by a server that says all it can.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_said_nowhere() {
    let engine = Simulator::start(Options::default()).await.unwrap();
    let sink = Sink::start().await;
    let files = Host::new(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("comfyport.toml");
    let secret = "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ";
    let text = format!(
        "[comfyui]\nheaders = {{ authorization = \"Bearer canary-engine\" }}\n\
         [webhooks]\nallow = [\"{}\"]\nsecrets = [\"{secret}\"]\n\
         [fetch]\nallow = [\"127.0.0.1\"]\n\
         [[fetch.credentials]]\nurl = \"{}/*\"\nheaders = {{ x-token = \"canary-fetch\" }}\n",
        sink.url(),
        files.url(""),
    );
    std::fs::write(&config, text).unwrap();
    let data = folder.path().join("data");
    let made = command(&["keys", "create", "one", "--data-dir", data.to_str().unwrap()]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let settings = [("COMFYPORT_CONFIG", config.to_str().unwrap()), ("COMFYPORT_LOG_LEVEL", "trace")];
    let server = Comfyport::lasting(&engine.url(), &data, &settings);
    let mut said = Vec::new();
    let mut ask = async |request: RequestBuilder| {
        let response = with(request, &key).send().await.unwrap();
        let headers = format!("{:?}", response.headers());
        said.push(headers + &response.text().await.unwrap());
        said.last().cloned().unwrap_or_default()
    };
    let hook = sink.at("/hook?token=canary-query");
    let body =
        json!({"prompt": "a fox", "steps": 1, "width": 64, "height": 64, "options": {"webhook": hook}});
    ask(server.post(PAINT).header("prefer", "wait=20").body(body.to_string())).await;
    let picture = json!({"image": {"url": files.url("/none.png")}, "width": 8});
    ask(server.post("/image/resize").body(picture.to_string())).await;
    ask(server.get("/jobs")).await;
    ask(server.get("/nowhere")).await;
    ask(server.get("/usage")).await;
    ask(server.post(PAINT).body("{")).await;
    sink.until_at("/hook?token=canary-query", 1).await;
    let wrong = server.get("/jobs").header("x-api-key", "cfp_canary_wrong-canary").send().await.unwrap();
    said.push(wrong.text().await.unwrap());
    said.push(server.log());
    said.push(std::fs::read_to_string(data.join("audit.jsonl")).unwrap());
    let shown = command(&["config", "show", "--config", config.to_str().unwrap()]).output().unwrap();
    said.push(String::from_utf8(shown.stdout).unwrap());
    assert!(server.log().contains("TRACE"), "it says less than it could");
    for canary in ["canary-engine", "canary-fetch", "canary-query", secret, &key, "wrong-canary"] {
        for text in &said {
            let place = text.find(canary).map(|at| &text[at.saturating_sub(300)..(at + 60).min(text.len())]);
            assert_eq!(place, None, "{canary} was said");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_erased_here_and_on_the_engine() {
    let engine = Simulator::start(Options::default()).await.unwrap();
    let server = Comfyport::in_front_of(&engine.url());
    let body = json!({"prompt": "a fox", "steps": 1, "width": 64, "height": 64, "options": {"cache": true}, "seed": 3});
    let result = server.call(PAINT, &body, 200).await;
    let picture = result["outputs"]["image"][0]["url"].as_str().unwrap();
    let job = format!("/jobs/{}", result["id"].as_str().unwrap());
    server.read(picture, 200).await;
    let history = async || {
        let history = reqwest::get(format!("{}/history", engine.url())).await.unwrap();
        history.json::<Value>().await.unwrap().as_object().unwrap().len()
    };
    assert_eq!(history().await, 1);
    for files in [1, 0] {
        let erased = server.expect(server.delete(&format!("{job}/outputs")), 200).await.json();
        assert_eq!((&erased["files"], &erased["engine_forgot"]), (&json!(files), &json!(true)));
    }
    assert_eq!(history().await, 0);
    server.read(picture, 404).await;
    assert_eq!(server.read(&job, 200).await.json()["outputs"], json!({"image": []}));
    // What is gone is nobody's answer.
    let again = server.call(PAINT, &body, 200).await;
    assert_ne!(again["id"], result["id"]);
}
