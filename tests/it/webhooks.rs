//! Webhooks: what receivers are sent, how they know that it is ours, and what happens when they are not well.

use std::time::{Duration, Instant};

use comfyport_simulator::{Fault, Options, Simulator};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::{
    process::{Comfyport, command, run},
    sink::{Heard, Reply, Sink},
};

const PAINT: &str = "/sd15/txt2img";
const SECRETS: [&str; 2] =
    ["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY="];
const ALL: [&str; 7] = [
    "job.queued",
    "job.running",
    "job.progress",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "job.expired",
];

/// Settings under which webhooks may go to these addresses, tried again after so many seconds.
fn settings(allow: &[&str], schedule: &[f64]) -> Vec<(&'static str, String)> {
    vec![
        ("COMFYPORT_WEBHOOKS_ALLOW", json!(allow).to_string()),
        ("COMFYPORT_WEBHOOKS_SECRETS", json!(SECRETS).to_string()),
        ("COMFYPORT_WEBHOOKS_SCHEDULE_S", json!(schedule).to_string()),
        ("COMFYPORT_WEBHOOKS_TIMEOUT_S", "1".to_owned()),
    ]
}

fn borrowed<'s>(settings: &'s [(&'static str, String)]) -> Vec<(&'static str, &'s str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn simulated(sink: &Sink, schedule: &[f64]) -> Comfyport {
    Comfyport::simulated_with(&borrowed(&settings(&[sink.url()], schedule)))
}

fn asked(webhook: Value) -> Value {
    json!({"prompt": "a fox", "steps": 1, "options": {"webhook": webhook}})
}

/// Has a job run whose events go to an address, and answers its id.
async fn paint(server: &Comfyport, url: &str, events: &[&str]) -> String {
    let job = server.call(PAINT, &asked(json!({"url": url, "events": events})), 202).await;
    job["id"].as_str().unwrap().to_owned()
}

async fn deliveries(server: &Comfyport, path: &str) -> Vec<Value> {
    server.read(path, 200).await.json()["deliveries"].as_array().unwrap().clone()
}

/// Waits until a delivery of a job is in a state, and answers it.
async fn until(server: &Comfyport, job: &str, status: &str) -> Value {
    let path = format!("/jobs/{job}/webhooks");
    let waiting = async {
        loop {
            let all = deliveries(server, &path).await;
            if let Some(found) = all.into_iter().find(|delivery| delivery["status"] == status) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(30), waiting).await {
        Ok(found) => found,
        Err(late) => panic!("{late}: {:#?}\n{}", deliveries(server, &path).await, server.log()),
    }
}

fn verifies(secret: &str, body: &[u8], headers: &HeaderMap) -> bool {
    Webhook::new(secret).unwrap().verify(body, headers).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_library_knows_that_they_are_ours() {
    let sink = Sink::start().await;
    let server = simulated(&sink, &[]);
    let job = paint(&server, &sink.at("/hook?token=sesame"), &["job.succeeded"]).await;
    let heard = sink.until_at("/hook?token=sesame", 1).await.remove(0);
    assert!(SECRETS.iter().all(|secret| verifies(secret, &heard.body, &heard.headers)));
    assert!(!verifies("whsec_dGhpcyBpcyBub3QgdGhlIHNlY3JldCBhdCBhbGw=", &heard.body, &heard.headers));
    for byte in 0..heard.body.len() {
        let mut changed = heard.body.clone();
        changed[byte] ^= 1;
        assert!(!verifies(SECRETS[0], &changed, &heard.headers), "byte {byte}");
    }
    let with = |name: &'static str, value: &str| {
        let mut headers = heard.headers.clone();
        headers.insert(name, value.parse().unwrap());
        headers
    };
    assert!(!verifies(SECRETS[0], &heard.body, &with("webhook-id", "msg_0")));
    let sent: i64 = heard.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    assert!(!verifies(SECRETS[0], &heard.body, &with("webhook-timestamp", &(sent + 1).to_string())));
    // Signed in truth, but long ago: the library's own signature of it is right, and refused.
    let old = sent - 600;
    let signature = Webhook::new(SECRETS[0]).unwrap().sign(heard.id(), old, &heard.body).unwrap();
    let mut headers = with("webhook-timestamp", &old.to_string());
    headers.insert("webhook-signature", signature.parse().unwrap());
    assert!(!verifies(SECRETS[0], &heard.body, &headers));

    assert_eq!(heard.headers["content-type"], "application/json");
    assert!(heard.headers["user-agent"].to_str().unwrap().starts_with("comfyport/"));
    let body = heard.json();
    assert_eq!((&body["type"], &body["data"]["id"]), (&json!("job.succeeded"), &json!(job)));
    assert_eq!(body["data"]["status"], "succeeded");
    assert!(
        body["data"]["outputs"]["image"][0]["url"].is_string() && body["timestamp"].is_string(),
        "{body}"
    );
    // Who looks at deliveries sees neither what was signed, nor how, nor what may be a token.
    let seen = server.read(&format!("/jobs/{job}/webhooks"), 200).await.text() + &server.log();
    for secret in ["sesame", "v1,", "whsec_", "outputs"] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_hear_of_what_they_asked_for_in_order() {
    let sink = Sink::start().await;
    let engine = Simulator::start(Options { step_delay: Duration::from_millis(150), ..Options::default() });
    let engine = engine.await.unwrap();
    let settings = settings(&[sink.url()], &[]);
    let server = Comfyport::in_front_of_with(&engine.url(), &borrowed(&settings));
    let events = |path: &str| sink.heard_at(path).iter().map(Heard::event).collect::<Vec<_>>();
    let ask = |path: &str, steps: u32, more: Value| {
        let mut options = json!({"webhook": {"url": sink.at(path), "events": ALL}});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"prompt": "a fox", "steps": steps, "options": options})
    };

    server.call(PAINT, &ask("/all", 12, json!({})), 202).await;
    let job = server.call(PAINT, &asked(json!(sink.at("/ends"))), 202).await;
    assert_eq!(job["status"], "queued");
    sink.until_at("/ends", 1).await;
    // Either may be the first to reach the engine.
    let is_done = |one: &Heard| one.path == "/all" && one.event() == "job.succeeded";
    sink.until(|heard| heard.iter().any(is_done)).await;
    let all = events("/all");
    assert_eq!((all[0].as_str(), all[1].as_str()), ("job.queued", "job.running"));
    assert_eq!(all.last().unwrap(), "job.succeeded");
    assert!(all.len() > 3 && all[2..all.len() - 1].iter().all(|event| event == "job.progress"), "{all:?}");
    let last = sink.heard_at("/all").into_iter().rfind(|heard| heard.event() == "job.progress").unwrap();
    assert!(last.json()["data"]["progress"]["percent"].as_f64().unwrap() > 0.0);
    assert_eq!(events("/ends"), ["job.succeeded"]);

    engine.faults().next(Fault::Exception);
    server.call(PAINT, &ask("/failed", 1, json!({})), 202).await;
    let failed = sink.until(|all| all.iter().any(|one| one.event() == "job.failed")).await;
    assert_eq!(failed.last().unwrap().json()["data"]["error"]["code"], "workflow_error");

    let job = server.call(PAINT, &ask("/cancelled", 100, json!({})), 202).await;
    sink.until_at("/cancelled", 2).await;
    let id = job["id"].as_str().unwrap();
    server.expect(server.delete(&format!("/jobs/{id}")), 202).await;
    sink.until(|all| all.iter().any(|one| one.event() == "job.cancelled")).await;

    let deadline = (jiff::Timestamp::now() + Duration::from_secs(1)).to_string();
    server.call(PAINT, &ask("/expired", 100, json!({"deadline": deadline})), 202).await;
    sink.until(|all| all.iter().any(|one| one.event() == "job.expired")).await;
    let ends = ["/failed", "/cancelled", "/expired"].map(|path| events(path).last().unwrap().clone());
    assert_eq!(ends, ["job.failed", "job.cancelled", "job.expired"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_are_not_well_are_asked_again() {
    let sink = Sink::start().await;
    let server = simulated(&sink, &[0.1, 0.1, 0.1]);
    let elsewhere = ("location", sink.at("/elsewhere"));
    let cases: [(&str, Vec<Reply>); 7] = [
        ("/error", vec![Reply::Status(500), Reply::Status(404)]),
        ("/hang", vec![Reply::Hang]),
        ("/reset", vec![Reply::Reset]),
        (
            "/redirect",
            vec![
                Reply::With(302, elsewhere.0, elsewhere.1.clone()),
                Reply::With(307, elsewhere.0, elsewhere.1),
            ],
        ),
        ("/later", vec![Reply::With(429, "retry-after", "2".to_owned())]),
        ("/busy", vec![Reply::With(503, "retry-after", "Thu, 01 Jan 1970 00:00:00 GMT".to_owned())]),
        ("/well", vec![]),
    ];
    for (path, replies) in cases {
        let tries = replies.len() + 1;
        sink.says(path, replies);
        let job = paint(&server, &sink.at(path), &["job.queued"]).await;
        let delivery = until(&server, &job, "delivered").await;
        assert_eq!(
            (&delivery["attempts"], &delivery["response_status"]),
            (&json!(tries), &json!(204)),
            "{path}"
        );
        let heard = sink.heard_at(path);
        assert_eq!(heard.len(), tries, "{path}");
        assert!(heard.iter().all(|one| one.id() == heard[0].id() && one.body == heard[0].body), "{path}");
        assert!(heard.iter().all(|one| verifies(SECRETS[1], &one.body, &one.headers)), "{path}");
    }
    assert!(sink.heard_at("/elsewhere").is_empty(), "redirects are not followed");
    let later = sink.heard_at("/later");
    let waited = later[1].at - later[0].at;
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_arrives_is_listed_and_can_be_delivered_again() {
    let sink = Sink::start().await;
    let server = simulated(&sink, &[0.05, 0.05]);
    sink.always_says("/dead", Reply::Status(500));
    let job = paint(&server, &sink.at("/dead"), &["job.succeeded"]).await;
    let dead = until(&server, &job, "dead").await;
    assert_eq!((&dead["attempts"], &dead["error"]), (&json!(3), &json!("the receiver answered 500")));
    let fine = paint(&server, &sink.at("/fine"), &["job.queued", "job.succeeded"]).await;
    sink.until_at("/fine", 2).await;
    until(&server, &fine, "delivered").await;
    let listed = deliveries(&server, "/webhooks?status=dead").await;
    assert_eq!(listed, std::slice::from_ref(&dead));

    // Pages.
    let page = server.read("/webhooks?limit=2", 200).await.json();
    assert_eq!((page["deliveries"].as_array().unwrap().len(), page["next_cursor"].is_string()), (2, true));
    let rest = format!("/webhooks?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = server.read(&rest, 200).await.json();
    assert_eq!((&rest["deliveries"], &rest["next_cursor"]), (&json!([dead]), &Value::Null));
    for bad in ["status=gone", "limit=0", "cursor=x", "state=dead"] {
        server.read(&format!("/webhooks?{bad}"), 400).await;
    }

    let first = sink.heard_at("/dead").remove(0);
    sink.always_says("/dead", Reply::Status(200));
    let path = format!("/jobs/{job}/webhooks/{}:redeliver", first.id());
    let again = server.expect(server.post(&path), 202).await.json();
    assert_eq!((&again["status"], &again["attempts"]), (&json!("pending"), &json!(0)));
    let heard = sink.until_at("/dead", 4).await;
    assert_eq!((heard[3].id(), &heard[3].body), (first.id(), &first.body));
    until(&server, &job, "delivered").await;
    for (path, status) in [
        (format!("/jobs/{job}/webhooks/msg_0:redeliver"), 404),
        (format!("/jobs/{job}/webhooks/{}", first.id()), 405),
        (path.replace(&job, "0"), 404),
    ] {
        server.expect(server.post(&path), status).await;
    }

    // The same by the command line.
    let at = ["--server", server.url()];
    let said = |arguments: &[&str]| {
        let output = run(&[arguments, &at].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(said(&["webhooks", "list", "--job", &job]).contains("delivered"));
    assert_eq!(said(&["webhooks", "list", "--status", "dead"]).lines().count(), 1, "the headings alone");
    assert!(said(&["webhooks", "redeliver", &job, first.id()]).contains("pending"));
    sink.until_at("/dead", 5).await;
    let all: Value = serde_json::from_str(&said(&["webhooks", "--format", "json"])).unwrap();
    assert_eq!(all["deliveries"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_are_gone_are_left_alone() {
    let sink = Sink::start().await;
    let server = simulated(&sink, &[0.05; 5]);
    sink.says("/gone", [Reply::Status(410)]);
    let job = paint(&server, &sink.at("/gone"), &["job.succeeded"]).await;
    assert_eq!(until(&server, &job, "dead").await["attempts"], 1);
    let late = paint(&server, &sink.at("/gone"), &["job.queued"]).await;
    let dead = until(&server, &late, "dead").await;
    assert_eq!(dead["attempts"], 0);
    assert_eq!(sink.heard_at("/gone").len(), 1);
    // Whoever has one delivered again takes the address into use again.
    let path = format!("/jobs/{late}/webhooks/{}:redeliver", dead["id"].as_str().unwrap());
    server.expect(server.post(&path), 202).await;
    until(&server, &late, "delivered").await;
    let after = paint(&server, &sink.at("/gone"), &["job.queued"]).await;
    until(&server, &after, "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_read_no_further_than_needed() {
    let sink = Sink::start().await;
    let server = simulated(&sink, &[]);
    sink.always_says("/large", Reply::Bytes(1 << 30));
    let warm = paint(&server, &sink.at("/warm"), &["job.succeeded"]).await;
    until(&server, &warm, "delivered").await;
    let before = server.memory();
    for _ in 0..20 {
        let job = paint(&server, &sink.at("/large"), &["job.queued"]).await;
        assert_eq!(until(&server, &job, "delivered").await["attempts"], 1);
    }
    let grown = server.memory().saturating_sub(before);
    println!("20 answers of 1 GiB: resident memory grew by {} kB", grown >> 10);
    assert!(grown < 48 << 20, "{grown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_left_arrives() {
    const KILLS: usize = 30;
    let sink = Sink::start().await;
    let settings = settings(&[sink.url()], &[0.1, 0.1, 0.1]);
    let data = tempfile::tempdir().unwrap();
    let mut jobs = Vec::new();
    let mut server = Comfyport::simulated_in(data.path(), &borrowed(&settings));
    for number in 0..KILLS {
        // Every other time the receiver has heard of it and did not answer yet.
        let path = format!("/kill/{number}");
        if number % 2 == 0 {
            sink.says(&path, [Reply::Hang]);
        }
        let job = paint(&server, &sink.at(&path), &["job.succeeded"]).await;
        loop {
            let now = server.read(&format!("/jobs/{job}"), 200).await.json();
            if now["status"] == "succeeded" {
                break;
            }
        }
        drop(server);
        jobs.push(job);
        server = Comfyport::simulated_in(data.path(), &borrowed(&settings));
    }
    let mut duplicates = 0;
    for (number, job) in jobs.iter().enumerate() {
        until(&server, job, "delivered").await;
        let heard = sink.heard_at(&format!("/kill/{number}"));
        assert!(heard.iter().all(|one| one.json()["data"]["id"] == json!(job) && one.id() == heard[0].id()));
        duplicates += heard.len() - 1;
    }
    println!("{KILLS} kills: missing 0, duplicates {duplicates}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_receiver_does_not_delay_the_others() {
    let mut sinks = Vec::new();
    for _ in 0..100 {
        sinks.push(Sink::start().await);
    }
    let dead = sinks.remove(0);
    dead.always_says("/hook", Reply::Hang);
    let urls: Vec<&str> = sinks.iter().chain([&dead]).map(Sink::url).collect();
    let mut settings = settings(&urls, &[0.1; 9]);
    settings.push(("COMFYPORT_WEBHOOKS_CONCURRENCY", "8".to_owned()));
    let server = Comfyport::simulated_with(&borrowed(&settings));
    for _ in 0..40 {
        paint(&server, &dead.at("/hook"), &["job.queued"]).await;
    }
    let mut delays = Vec::new();
    for sink in &sinks {
        let asked = Instant::now();
        paint(&server, &sink.at("/hook"), &["job.queued"]).await;
        delays.push((asked, sink));
    }
    let mut waited = Vec::new();
    for (asked, sink) in delays {
        waited.push(sink.until_at("/hook", 1).await[0].at.saturating_duration_since(asked));
    }
    waited.sort();
    println!(
        "1 of 100 hangs: the others wait {:?} (median), {:?} (longest)",
        waited[waited.len() / 2],
        waited[98]
    );
    // A try of the dead one takes a second.
    assert!(waited[98] < Duration::from_secs(1), "{waited:?}");
    assert!(!dead.heard().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_delivers() {
    let address = match crate::postgres::address() {
        Ok(address) => address,
        Err(why) => return println!("left out: {why}"),
    };
    let joint = if address.contains('?') { '&' } else { '?' };
    let store = format!("{address}{joint}schema=webhooks_{}", std::process::id());
    let sink = Sink::start().await;
    let engine = Simulator::start(Options::default()).await.unwrap();
    let mut settings = settings(&[sink.url()], &[0.1; 3]);
    settings.push(("COMFYPORT_STORE", store));
    settings.push(("COMFYPORT_LOG_LEVEL", "info,comfyport_server::webhooks=debug".to_owned()));
    let servers = [(); 2].map(|()| Comfyport::in_front_of_with(&engine.url(), &borrowed(&settings)));
    for number in 0..60 {
        paint(&servers[number % 2], &sink.at("/hook"), &["job.queued", "job.succeeded"]).await;
    }
    let heard = sink.until_at("/hook", 120).await;
    let mut ids: Vec<&str> = heard.iter().map(Heard::id).collect();
    ids.sort_unstable();
    ids.dedup();
    let by = servers.each_ref().map(|server| server.log().matches("webhook delivered").count());
    println!("two servers: {} sent for 120 deliveries, by {by:?}", heard.len());
    assert_eq!((ids.len(), heard.len()), (120, 120));
}

#[tokio::test(flavor = "multi_thread")]
async fn they_go_only_where_the_operator_lets_them() {
    let sink = Sink::start().await;
    let server = Comfyport::simulated_with(&borrowed(&settings(&[&sink.at("/hooks")], &[])));
    for url in
        [sink.at("/other"), sink.url().replace("127.0.0.1", "localhost"), "http://10.0.0.1/hooks".to_owned()]
    {
        let problem = server.call(PAINT, &asked(json!(url)), 422).await;
        assert_eq!(problem["errors"][0]["pointer"], "/options/webhook", "{problem}");
    }
    server.call(PAINT, &asked(json!(sink.at("/hooks/a"))), 202).await;
    sink.until_at("/hooks/a", 1).await;

    // What was accepted before the operator changed his mind is not sent any more.
    let data = tempfile::tempdir().unwrap();
    sink.always_says("/hooks/b", Reply::Status(500));
    let before = settings(&[sink.url()], &[0.5; 9]);
    let server = Comfyport::simulated_in(data.path(), &borrowed(&before));
    let job = paint(&server, &sink.at("/hooks/b"), &["job.queued"]).await;
    sink.until_at("/hooks/b", 1).await;
    drop(server);
    let after = settings(&[&sink.at("/elsewhere")], &[0.5; 9]);
    let server = Comfyport::simulated_in(data.path(), &borrowed(&after));
    let dead = until(&server, &job, "dead").await;
    assert!(dead["error"].as_str().unwrap().contains("webhooks.allow"), "{dead}");
}

#[tokio::test(flavor = "multi_thread")]
async fn public_addresses_need_no_permission_and_inner_ones_have_none() {
    let sink = Sink::start().await;
    let port = sink.url().rsplit_once(':').unwrap().1.to_owned();
    let server = Comfyport::simulated_with(&borrowed(&settings(&[], &[])));
    for inner in [
        "https://127.0.0.1:{}/",
        "https://2130706433:{}/",
        "https://0x7f.1:{}/",
        "https://[::ffff:127.0.0.1]:{}/",
        "https://localhost:{}/",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://u:p@hooks.example.com/",
        "https://hooks.example.com:22/",
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
    ] {
        let url = inner.replace("{}", &port);
        let problem = server.call(PAINT, &asked(json!(url)), 422).await;
        let error = &problem["errors"][0];
        assert_eq!(error["pointer"], "/options/webhook", "{url}: {problem}");
        assert!(error["message"].as_str().unwrap().contains("`webhooks.allow`"), "{problem}");
    }
    let open = asked(json!("https://hooks.example.invalid/comfyport"));
    server.call(PAINT, &open, 202).await;
    let closed = [&settings(&[], &[])[..], &[("COMFYPORT_WEBHOOKS_PUBLIC", "false".to_owned())]].concat();
    Comfyport::simulated_with(&borrowed(&closed)).call(PAINT, &open, 422).await;
    let problem = Comfyport::simulated().call(PAINT, &open, 422).await;
    assert!(problem["errors"][0]["message"].as_str().unwrap().contains("`webhooks.secrets`"), "{problem}");
    assert_eq!(sink.heard().len(), 0);
}

#[test]
fn secrets_are_made_and_asked_for() {
    let made = String::from_utf8(run(&["webhooks", "secret"]).stdout).unwrap();
    assert!(Webhook::new(made.trim()).is_ok() && made.starts_with("whsec_"), "{made}");
    for (secrets, expected) in
        [("[]", "comfyport webhooks secret"), ("[\"whsec_sesame\"]", "number 1 is not `whsec_`")]
    {
        let mut command = command(&["serve", "--simulate", "--listen", "127.0.0.1:0"]);
        command.env("COMFYPORT_WEBHOOKS_ALLOW", "[\"http://127.0.0.1\"]");
        let output = command.env("COMFYPORT_WEBHOOKS_SECRETS", secrets).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected) && !said.contains("sesame"), "{said}");
    }
}
