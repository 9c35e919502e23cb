//! `comfyport enrich` over the real binary, against a service that answers as it is told.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use comfyport_enrich::testing::{Answer, Service, proposal};
use serde_json::{Value, json};

use crate::process::{command, repository};

const KEY: &str = "sk-canary-8152";

/// A folder with one workflow in it.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(repository("workflow_templates/sd15/txt2img.json"), folder.path().join("paint.json"))
            .unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn enrich(&self, service: &Service, more: &'static [&'static str]) -> Output {
        let (file, base) = (self.path("paint.json"), service.base());
        let run = move || {
            let mut command = command(&["enrich"]);
            command.arg(file).args(["--model", "some/model", "--base-url", base.as_str()]).args(more);
            command.env("COMFYPORT_ENRICH_KEY", KEY).output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }
}

fn said(output: &Output) -> String {
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains(KEY), "{said}");
    said
}

fn better() -> Answer {
    Answer::says(&proposal(&json!([
        {"name": "sampler_name", "new_name": "sampler", "description": "How noise is taken away.", "primary": true},
        {"name": "nobody", "new_name": "", "description": "", "primary": true},
    ])))
}

fn parameters(file: &Path) -> Value {
    let output = command(&["check", "--format", "json"]).arg(file).output().unwrap();
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["endpoints"][0]["params"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_is_written_beside_the_workflow() {
    let desk = Desk::new();
    let service = Service::start(vec![better(), better(), better()]).await;

    let shown = desk.enrich(&service, &[]).await;
    let text = said(&shown);
    assert_eq!(shown.status.code(), Some(0), "{text}");
    assert!(
        text.contains("+title = \"Pictures of words\"") && text.contains("nothing was written"),
        "{text}"
    );
    assert!(text.contains("nobody: there is no such parameter") && text.contains("0.0020 USD"), "{text}");
    assert!(!desk.path("paint.toml").exists(), "nobody accepted it");

    let written = desk.enrich(&service, &["--yes"]).await;
    assert_eq!(written.status.code(), Some(0), "{}", said(&written));
    let params = parameters(&desk.path("paint.json"));
    let sampler = params.as_array().unwrap().iter().find(|param| param["name"] == "sampler").unwrap();
    assert_eq!(
        (&sampler["tier"], &sampler["description"]),
        (&json!("primary"), &json!("How noise is taken away."))
    );

    // What stands there now was decided.
    let before = fs::read(desk.path("paint.toml")).unwrap();
    let again = desk.enrich(&service, &["--yes"]).await;
    assert!(said(&again).contains("nothing to change"), "{}", said(&again));
    assert_eq!(fs::read(desk.path("paint.toml")).unwrap(), before);
    assert!(service.asked().iter().all(|asked| asked.key == format!("Bearer {KEY}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_and_nothing_is_written() {
    let desk = Desk::new();
    let service =
        Service::start(vec![Answer::body(200, &json!({"error": {"code": 402, "message": "no credit"}}))])
            .await;
    let output = desk.enrich(&service, &["--yes"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("no credit") && said(&output).contains("402"), "{}", said(&output));
    assert!(!desk.path("paint.toml").exists());

    // Facts are shown without asking anybody, and a workflow that makes no endpoint is told first.
    let facts = desk.enrich(&service, &["--show-facts"]).await;
    assert_eq!(facts.status.code(), Some(0), "{}", said(&facts));
    let shown: Value = serde_json::from_slice(&facts.stdout).unwrap();
    assert!(shown["parameters"].as_array().unwrap().iter().any(|param| param["name"] == "steps"), "{shown}");
    fs::write(desk.path("paint.json"), "{}").unwrap();
    let output = desk.enrich(&service, &["--yes"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no-graph"), "{}", said(&output));
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_locked_workflow_stay() {
    let desk = Desk::new();
    let file = desk.path("paint.json");
    let locked = command(&["lock", "accept"]).arg(&file).output().unwrap();
    assert_eq!(locked.status.code(), Some(0), "{}", said(&locked));
    let service = Service::start(vec![better()]).await;
    let output = desk.enrich(&service, &["--yes"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("its name is locked"), "{}", said(&output));
    let params = parameters(&file);
    assert!(params.as_array().unwrap().iter().any(|param| param["name"] == "sampler_name"), "{params}");
}
