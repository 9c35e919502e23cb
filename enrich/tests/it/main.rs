//! Services of several kinds, kind and unkind, and what is made of their answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use comfyport_enrich::{
    Advice, Change, Chat, ChatError, Edit, Facts, Settings, propose,
    testing::{Answer, Service, proposal},
};
use comfyport_workflow::{Catalog, Endpoint, Options, Sidecar};
use serde_json::{Value, json};

const WORKFLOW: &[u8] = include_bytes!("../../../workflow_templates/sd15/txt2img.json");

fn endpoint(sidecar: Option<&str>) -> Endpoint {
    let sidecar = sidecar.map(|text| Sidecar::parse(text).unwrap());
    let options = Options {
        file: "txt2img.json",
        path: "txt2img",
        catalog: Catalog::core(),
        sidecar: sidecar.as_ref(),
        lock: None,
    };
    comfyport_workflow::endpoint(WORKFLOW, &options).unwrap()
}

fn chat(service: &Service, timeout: Duration) -> Chat {
    rustls::crypto::ring::default_provider().install_default().ok();
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let key = Some("sk-test-0123456789".to_owned());
    let settings =
        Settings { base: service.base(), model: "some/model".to_owned(), key, timeout, retries: 2 };
    Chat::new(settings, tls).unwrap()
}

async fn asked(answers: Vec<Answer>) -> (Service, Result<Advice, ChatError>) {
    let service = Service::start(answers).await;
    let advice = propose(&chat(&service, Duration::from_secs(30)), &endpoint(None), false).await;
    (service, advice)
}

fn written(sidecar: Option<&str>, advice: &Advice) -> String {
    Edit::of(sidecar, &advice.judged.changes).unwrap().after().to_owned()
}

#[tokio::test]
async fn what_is_in_order_is_written_and_makes_the_endpoint() {
    let (service, advice) = asked(vec![Answer::says(&proposal(&json!([
        {"name": "sampler_name", "new_name": "sampler", "description": "How noise is taken away.", "primary": true},
    ])))])
    .await;
    let advice = advice.unwrap();
    assert_eq!(advice.judged.refused, []);
    assert_eq!((advice.usage.tokens, advice.usage.cost), (120, Some(0.002)));
    let text = written(None, &advice);
    let after = endpoint(Some(&text));
    assert!(after.is_usable(), "{:?}\n{text}", after.diagnostics);
    assert_eq!(after.title, "Pictures of words");
    let sampler = after.params.iter().find(|param| param.name == "sampler").unwrap();
    assert_eq!(sampler.tier, comfyport_workflow::Tier::Primary);
    assert_eq!(sampler.description.as_deref(), Some("How noise is taken away."));

    let asked = service.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].key, "Bearer sk-test-0123456789");
    assert_eq!(asked[0].body["model"], "some/model");
    assert_eq!(asked[0].body["response_format"]["json_schema"]["strict"], true);
    assert!(asked[0].body.get("provider").is_none(), "only OpenRouter knows that member");
}

#[tokio::test]
async fn prompts_files_and_addresses_are_never_sent() {
    let mut graph: Value = serde_json::from_slice(WORKFLOW).unwrap();
    let canary = "canary-4711";
    for node in graph.as_object_mut().unwrap().values_mut() {
        for value in node["inputs"].as_object_mut().unwrap().values_mut().filter(|value| value.is_string()) {
            *value = json!(format!("https://{canary}.example/?key={canary}"));
        }
    }
    let options = Options { file: "x.json", path: "x", catalog: Catalog::core(), sidecar: None, lock: None };
    let endpoint = comfyport_workflow::endpoint(graph.to_string().as_bytes(), &options).unwrap();
    let service = Service::start(vec![Answer::says(&proposal(&json!([])))]).await;
    let chat = chat(&service, Duration::from_secs(30));
    propose(&chat, &endpoint, false).await.unwrap();
    let sent = service.asked()[0].body.to_string();
    assert!(sent.contains("KSampler") && !sent.contains(canary), "{sent}");
    assert!(!serde_json::to_string(&Facts::of(&endpoint, false)).unwrap().contains(canary));
}

#[tokio::test]
async fn a_fence_is_taken_off_and_a_wrong_shape_asked_for_again() {
    let good = proposal(&json!([])).to_string();
    let (service, advice) = asked(vec![
        Answer::says(&json!({"title": 3})),
        Answer::says_text(&format!("Sure!\n```json\n{good}\n```")),
    ])
    .await;
    assert_eq!(advice.unwrap().usage.tokens, 240);
    let again = &service.asked()[1].body["messages"];
    assert!(again[3]["content"].as_str().unwrap().contains("cannot be used"), "{again}");

    let (service, advice) = asked(vec![Answer::says_text("no"), Answer::says_text("no")]).await;
    assert!(matches!(advice, Err(ChatError::Answer(_))));
    assert_eq!(service.asked().len(), 2);
}

#[tokio::test]
async fn faults_are_faults_whatever_the_status_says() {
    let fault = |code: u16| json!({"error": {"code": code, "message": "it \u{1b}[31mbroke"}});
    let inside =
        json!({"choices": [{"error": {"code": 502, "message": "gone"}, "message": {"content": ""}}]});
    for (answers, code) in [
        (vec![Answer::body(200, &fault(400))], 400),
        (vec![Answer::body(402, &fault(402))], 402),
        (vec![Answer::body(200, &inside), Answer::body(200, &inside), Answer::body(200, &inside)], 502),
        (vec![Answer::body(401, &json!({"error": "no"}))], 401),
        (vec![Answer::body(302, &json!({}))], 302),
    ] {
        let tries = answers.len();
        let (service, advice) = asked(answers).await;
        let error = advice.unwrap_err();
        assert!(matches!(error, ChatError::Refused { code: told, .. } if told == code), "{error}");
        assert!(!error.to_string().contains('\u{1b}') && !error.to_string().contains("sk-test"), "{error}");
        assert_eq!(service.asked().len(), tries, "{error}");
    }
}

#[tokio::test]
async fn a_busy_service_is_asked_again_after_the_pause_it_names() {
    let busy = || Answer::body(429, &json!({"error": {"code": 429, "message": "slow down"}})).after("0");
    let (service, advice) = asked(vec![busy(), busy(), Answer::says(&proposal(&json!([])))]).await;
    assert!(advice.is_ok());
    assert_eq!(service.asked().len(), 3);
    let (service, advice) = asked(vec![busy(), busy(), busy()]).await;
    assert!(matches!(advice, Err(ChatError::Refused { code: 429, .. })));
    assert_eq!(service.asked().len(), 3);
}

#[tokio::test]
async fn answers_that_break_off_stall_or_are_of_others_are_told_apart() {
    let cut = json!({"choices": [{"message": {"content": "{\"ti"}, "finish_reason": "length"}], "usage": {"completion_tokens": 7}});
    let (_service, advice) = asked(vec![Answer::body(200, &cut)]).await;
    assert!(matches!(advice, Err(ChatError::Cut(7))));
    let silent = json!({"choices": [{"message": {"content": null, "refusal": "I will not"}}]});
    let (_service, advice) = asked(vec![Answer::body(200, &silent)]).await;
    assert!(matches!(advice, Err(ChatError::Silent(_))));
    for other in [json!({"models": []}), json!([]), json!("<html>"), json!({"choices": []})] {
        let (_service, advice) = asked(vec![Answer::body(200, &other)]).await;
        assert!(matches!(advice, Err(ChatError::Stranger(_))), "{other}");
    }
    let (_service, advice) = asked(vec![Answer::says_text(&"x".repeat(2 << 20))]).await;
    assert!(matches!(advice, Err(ChatError::Stranger(_))));
    let service = Service::start(vec![Answer::never()]).await;
    let advice = propose(&chat(&service, Duration::from_millis(200)), &endpoint(None), false).await;
    assert!(matches!(advice, Err(ChatError::Away { why, .. }) if why.contains("in time")));
}

#[tokio::test]
async fn odd_proposals_are_refused_one_by_one() {
    let (_service, advice) = asked(vec![Answer::says(&proposal(&json!([
        {"name": "nobody", "new_name": "x", "description": "", "primary": false},
        {"name": "prompt", "new_name": "options", "description": "What to\n\u{202E}see\u{7}", "primary": false},
        {"name": "prompt", "new_name": "y", "description": "", "primary": false},
        {"name": "steps", "new_name": "seed", "description": "", "primary": false},
        {"name": "seed", "new_name": "Drop Table", "description": "\"]\n[risks]\nx = [\"1\"]", "primary": true},
        {"name": "cfg", "new_name": "\u{1b}[2J", "description": &"long ".repeat(500), "primary": false},
    ])))])
    .await;
    let advice = advice.unwrap();
    assert_eq!(advice.judged.refused.len(), 6, "{:#?}", advice.judged.refused);
    let names = advice.judged.changes.iter().filter(|change| matches!(change, Change::Name { .. }));
    assert_eq!(names.count(), 0);
    let text = written(None, &advice);
    assert!(!text.contains(|one: char| one.is_control() && one != '\n'), "{text}");
    assert!(!text.contains('\u{202E}'), "{text}");
    let after = endpoint(Some(&text));
    assert!(after.is_usable(), "{text}");
    let seed = after.params.iter().find(|param| param.name == "seed").unwrap();
    assert_eq!(seed.description.as_deref(), Some("\"] [risks] x = [\"1\"]"));
    assert!(
        after
            .params
            .iter()
            .all(|param| param.description.as_ref().is_none_or(|text| text.chars().count() <= 400))
    );
}

#[tokio::test]
async fn what_the_author_decided_stays() {
    let sidecar = "# ours\ntitle = \"Mine\"\n\n[params.sampler_name]   # by name\nname = \"how\"\n\n[params.\"3.cfg\"]\nhide = true\n";
    let before = endpoint(Some(sidecar));
    let service = Service::start(vec![Answer::says(&proposal(&json!([
        {"name": "how", "new_name": "sampler", "description": "How.", "primary": true},
    ])))])
    .await;
    let chat = chat(&service, Duration::from_secs(30));
    let advice = propose(&chat, &before, false).await.unwrap();
    let edit = Edit::of(Some(sidecar), &advice.judged.changes).unwrap();
    assert_eq!(edit.decided, 2, "the title and the name\n{}", edit.after());
    assert!(edit.after().starts_with("# ours\ntitle = \"Mine\"\n"), "{}", edit.after());
    assert_eq!(edit.after().matches("sampler_name").count(), 1, "{}", edit.after());
    assert!(edit.after().contains("# by name"), "{}", edit.after());
    let after = endpoint(Some(edit.after()));
    assert!(after.is_usable(), "{}", edit.after());
    let how = after.params.iter().find(|param| param.name == "how").unwrap();
    assert_eq!((how.tier, how.description.as_deref()), (comfyport_workflow::Tier::Primary, Some("How.")));
    assert!(edit.difference().contains("+expose = \"primary\""), "{}", edit.difference());
}

#[tokio::test]
async fn locked_names_stay() {
    let service = Service::start(vec![Answer::says(&proposal(&json!([
        {"name": "sampler_name", "new_name": "sampler", "description": "", "primary": true},
    ])))])
    .await;
    let chat = chat(&service, Duration::from_secs(30));
    let advice = propose(&chat, &endpoint(None), true).await.unwrap();
    let whys: Vec<&str> = advice.judged.refused.iter().map(|refused| refused.why.as_str()).collect();
    assert_eq!(whys, ["its name is locked", "its place is locked"]);
    assert_eq!(
        service.asked()[0].body["messages"][1]["content"]
            .as_str()
            .map(|facts| facts.contains("\"names_and_places_are_locked\":true")),
        Some(true)
    );
}
