//! `comfyport lock --resolve`: what workflows do not say, asked of hosts, a registry, repositories and an engine, all of
//! them on this machine.

use std::{fs, path::PathBuf, process::Output};

use axum::{Json, Router, routing::get};
use comfyport_depot::{
    Sha256,
    testing::{FakeCivitAi, FakeHub, safetensors, version},
};
use comfyport_packs::testing::{FakeRegistry, Repository, Server};
use serde_json::{Value, json};

use crate::{needs::graph, process::command};

/// A project, and all who know something.
struct Desk {
    folder: tempfile::TempDir,
    hub: FakeHub,
    civitai: FakeCivitAi,
    registry: FakeRegistry,
}

impl Desk {
    async fn new() -> Self {
        let (hub, civitai) = (FakeHub::start().await, FakeCivitAi::start().await);
        Self { folder: tempfile::tempdir().unwrap(), hub, civitai, registry: FakeRegistry::start().await }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.at(name), text).unwrap();
    }

    fn lock(&self) -> String {
        fs::read_to_string(self.at("comfyport.lock")).unwrap()
    }

    /// On a thread of its own: servers are on this one.
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = command(&["lock"]);
        command.args(arguments).arg(self.folder.path());
        command.env_remove("HF_TOKEN").env_remove("CIVITAI_TOKEN");
        command.env("COMFYPORT_MODELS_HUGGING_FACE", self.hub.host.url.as_str());
        command.env("COMFYPORT_MODELS_CIVITAI", self.civitai.host.url.as_str());
        command.env("COMFYPORT_MODELS_TRIES", "1");
        command.env("COMFYPORT_NODES_REGISTRY", self.registry.server.url());
        command.env("COMFYPORT_NODES_GIT_TRANSPORTS", "[\"file\"]");
        command.env("COMFYPORT_FETCH_ALLOW", "[\"127.0.0.1\"]");
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn what_hosts_and_repositories_know_is_locked() {
    let (desk, mine) = (Desk::new().await, Repository::new("mine"));
    let content = safetensors(1, 50_000);
    desk.hub.put("o/n", "a.safetensors", content.clone());
    desk.registry.put_pack(
        "comfyui_controlnet_aux",
        "https://github.com/Fannovel16/comfyui_controlnet_aux.git",
        "1.0.7",
    );
    desk.registry.put_requiring("comfyui_controlnet_aux", "1.0.7", "Active", &["opencv-python>=4"], &[]);
    mine.commit(&[("__init__.py", "")]);
    let project = "[project]\nname = \"mine\"\nrequires-python = \">=3.10\"\n\n[tool.comfy]\nrequires-comfyui = \">=99\"\n";
    let newest = mine.commit(&[
        ("requirements.txt", "# all of it\nnumpy\neinops>=0.6 # for one node\n"),
        ("pyproject.toml", project),
    ]);
    desk.write("one.json", graph("a.safetensors", &["CannyEdgePreprocessor", "ImageResize+"]));
    desk.write(
        "one.toml",
        format!(
            "[models.\"a.safetensors\"]\nurl = \"https://huggingface.co/o/n/resolve/main/a.safetensors\"\n\n\
             [node_packs.mine]\nrepository = \"{}\"\nclasses = [\"ImageResize+\"]\n",
            mine.url()
        ),
    );

    let plain = desk.run(&[]).await;
    assert!(plain.status.success(), "{}", said(&plain));
    assert!(desk.hub.host.seen().is_empty() && !desk.registry.was_asked("/"), "nobody is asked unless told");
    assert!(!desk.lock().contains("sha256"));

    let resolved = desk.run(&["--resolve"]).await;
    let report = said(&resolved);
    assert!(resolved.status.success(), "{report}");
    let digest = Sha256::of(&content).to_string();
    let lock = desk.lock();
    for expected in [
        format!("size = {}\nsha256 = \"{digest}\"", content.len()),
        "version = \"1.0.7\"\nrequirements = [\"opencv-python>=4\"]".to_owned(),
        format!("commit = \"{newest}\""),
        "\"numpy\"".to_owned(),
        "\"einops>=0.6\"".to_owned(),
        "python = \">=3.10\"\ncomfyui = \">=99\"\nclasses = [\"ImageResize+\"]".to_owned(),
    ] {
        assert!(lock.contains(&expected), "no {expected} in\n{lock}\n{report}");
    }
    assert!(report.contains("size and sha256 by hf://o/n@main/a.safetensors"), "{report}");
    assert!(
        report.contains("node pack comfyui_controlnet_aux: version 1.0.7 by the Comfy Registry"),
        "{report}"
    );
    assert!(!report.contains("locked without"), "{report}");

    // It stays, without anybody being asked.
    let asked = desk.hub.host.seen().len();
    assert!(desk.run(&[]).await.status.success());
    assert_eq!(desk.lock(), lock);
    let strict = desk.run(&["--check", "--strict"]).await;
    assert_eq!((strict.status.code(), desk.hub.host.seen().len()), (Some(0), asked), "{}", said(&strict));
    assert_eq!(desk.run(&["--check", "--resolve"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn suggestions_are_printed_and_never_taken() {
    let desk = Desk::new().await;
    let (dream, known) = (safetensors(2, 20_000), safetensors(3, 20_000));
    desk.hub.put("o/dream-x", "sub/dream_x.safetensors", dream);
    desk.hub.put("o/dream-x-other", "else.safetensors", b"x".as_slice());
    desk.civitai.put(version(7, "known.safetensors", &known), known.clone());
    desk.registry.put_class("NobodyHasThisNode9", "nobodys-nodes", "https://github.com/o/nobodys", "3.1.4");
    desk.hub.put("o/n", "moved.safetensors", safetensors(4, 10_000));
    desk.write("one.json", graph("dream_x.safetensors", &["NobodyHasThisNode9"]));
    desk.write("two.json", graph("called_otherwise.safetensors", &[]));
    desk.write("three.json", graph("moved.safetensors", &[]));
    desk.write("four.json", graph("nowhere_to_be_found.safetensors", &[]));
    let wrong = Sha256::of(b"something else").to_string();
    let list = format!(
        "[[model]]\nfile = \"called_otherwise.safetensors\"\nsha256 = \"{}\"\n\n\
         [[model]]\nfile = \"moved.safetensors\"\nsha256 = \"{wrong}\"\n\
         urls = [\"https://huggingface.co/o/n/resolve/main/moved.safetensors\"]\n",
        Sha256::of(&known)
    );
    desk.write("models.toml", &list);

    let resolved = desk.run(&["--resolve"]).await;
    let report = said(&resolved);
    assert!(resolved.status.success(), "{report}");
    for expected in [
        "a file of that name, which may be it, is hf://o/dream-x@main/sub/dream_x.safetensors\n  if it is, in models.toml:\n    [[model]]\n    file = \"dream_x.safetensors\"\n    folder = \"checkpoints\"\n    urls = [\"https://huggingface.co/o/dream-x/resolve/main/sub/dream_x.safetensors\"]",
        "CivitAI has this content: known.safetensors, version v1",
        "urls = [\"https://civitai.com/api/download/models/7\"]",
        "NobodyHasThisNode9 of one: the Comfy Registry says it is of nobodys-nodes\n  if it is, in one.toml:\n    [node_packs.\"nobodys-nodes\"]\n    repository = \"https://github.com/o/nobodys\"\n    version = \"3.1.4\"\n    classes = [\"NobodyHasThisNode9\"]",
        "moved.safetensors: hf://o/n@main/moved.safetensors",
        "model checkpoints/nowhere_to_be_found.safetensors: nobody who was asked knows it",
    ] {
        assert!(report.contains(expected), "no {expected} in\n{report}");
    }
    let lock = desk.lock();
    assert!(!lock.contains("dream-x") && !lock.contains("civitai") && !lock.contains("nobodys"), "{lock}");
    assert!(lock.contains(&wrong), "what somebody said stays: {lock}");
    let machine = desk.run(&["--resolve", "--format", "json"]).await;
    let machine: Value = serde_json::from_slice(&machine.stdout).unwrap();
    assert_eq!(machine["resolved"]["suggestions"].as_array().unwrap().len(), 3, "{machine:#}");

    // Pasted, the lines are what they are meant to be.
    let lines: Vec<&str> = machine["resolved"]["suggestions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["what"].as_str().unwrap().contains("dream_x"))
        .map(|one| one["lines"].as_str().unwrap())
        .collect();
    desk.write("models.toml", format!("{list}\n{}", lines[0]));
    desk.write(
        "one.toml",
        "[node_packs.\"nobodys-nodes\"]\nrepository = \"https://github.com/o/nobodys\"\n\
                            version = \"3.1.4\"\nclasses = [\"NobodyHasThisNode9\"]\n",
    );
    let taken = desk.run(&["--resolve"]).await;
    assert!(taken.status.success(), "{}", said(&taken));
    let lock = desk.lock();
    assert!(lock.contains("dream-x") && lock.contains("id = \"nobodys-nodes\""), "{lock}\n{}", said(&taken));
}

/// A ComfyUI that has a class from a pack of the registry, and a Manager that says so.
async fn engine(class: &'static str, id: &'static str, version: &'static str) -> Server {
    let module = format!("custom_nodes.{id}");
    let info = json!({class: {"input": {"required": {}}, "output": ["IMAGE"], "python_module": module}});
    let installed = json!({id: {"ver": version, "cnr_id": id, "aux_id": null, "enabled": true}});
    let stats = json!({"system": {"comfyui_version": "0.3.64"}, "devices": []});
    let routes = Router::new()
        .route("/system_stats", get(async move || Json(stats)))
        .route("/object_info", get(async move || Json(info)))
        .route("/manager/version", get(async || "V3.41"))
        .route("/customnode/installed", get(async move || Json(installed)));
    Server::new(routes).await
}

#[tokio::test]
async fn a_live_engine_settles_what_could_be_several() {
    let desk = Desk::new().await;
    desk.write("one.json", graph("a.safetensors", &["ImageResize+"]));
    let plain = desk.run(&["--format", "json"]).await;
    let report: Value = serde_json::from_slice(&plain.stdout).unwrap();
    let pack = &report["needs"]["packs"][0];
    assert_eq!(pack["doubtful"][0], "ImageResize+", "another example is needed: {report:#}");
    // The engine has another than the likeliest.
    let other = pack["candidates"][0].as_str().unwrap();
    desk.registry.put_pack("other-nodes", other, "9.9.9");
    desk.registry.put_requiring("other-nodes", "2.3.4", "Active", &["einops"], &[]);
    let live = engine("ImageResize+", "other-nodes", "2.3.4").await;
    let resolved = desk.run(&["--resolve", "--comfyui-url", &live.url()]).await;
    let report = said(&resolved);
    assert!(resolved.status.success(), "{report}");
    let lock = desk.lock();
    assert!(lock.contains("comfyui = \"0.3.64\""), "{lock}");
    assert!(lock.contains("id = \"other-nodes\"") && lock.contains(other), "{lock}\n{report}");
    assert!(lock.contains("version = \"2.3.4\"") && lock.contains("\"einops\""), "{lock}\n{report}");
    assert!(!report.contains("undecided"), "{report}");

    // What was decided stays decided.
    let again = desk.run(&[]).await;
    assert!(again.status.success() && !said(&again).contains("undecided"), "{}", said(&again));
    assert_eq!(desk.lock(), lock);
    assert_eq!(desk.run(&["--check"]).await.status.code(), Some(0));

    let away = desk.run(&["--resolve", "--comfyui-url", "http://127.0.0.1:1"]).await;
    assert_eq!(away.status.code(), Some(2), "{}", said(&away));
    assert!(said(&away).contains("engine 127.0.0.1:1"), "{}", said(&away));
}
