//! `comfyport doctor` over the real binary: a simulator that is well, a folder that lacks things, an engine that is not
//! well at all.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    process::Output,
};

use axum::{Json, Router, routing::get};
use comfyport_packs::testing::{Repository, furnish, nodes};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::process::{Comfyport, command};

/// On a thread of its own: servers are on this one.
async fn doctor(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = command(&["doctor"]);
    command.args(arguments).envs(settings.iter().copied());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn findings(output: &Output) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    report["findings"].as_array().unwrap().clone()
}

fn of<'f>(findings: &'f [Value], check: &str) -> &'f Value {
    findings.iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("{check}: {findings:#?}"))
}

#[tokio::test]
async fn a_simulator_is_well() {
    let engine = Comfyport::simulator();
    let said = doctor(&["--comfyui-url", engine.url(), "--workflow", "sd15/txt2img"], &[]).await;
    let report = text(&said);
    assert_eq!(said.status.code(), Some(0), "{report}");
    for expected in [
        "version: ComfyUI 0.3.64, Python 3.11.7",
        "reach: it listens on this machine alone",
        "simulated: 21.5 GB of 25.8 GB free",
        "workflow: 1 of 1 workflows have all they need",
        "faults: 0",
    ] {
        assert!(report.contains(expected), "no {expected} in\n{report}");
    }
    // Of a limit that is lower than ours it is said how to raise it.
    let limit = [("COMFYPORT_MEDIA_MAX_VIDEO_BYTES", "314572800")];
    let all = ["--comfyui-url", engine.url(), "--workflow", "sd15/txt2img", "--format", "json"];
    let said = doctor(&all, &limit).await;
    let found = findings(&said);
    assert_eq!(of(&found, "uploads")["level"], "warning", "{found:#?}");
    assert!(of(&found, "uploads")["mend"].to_string().contains("--max-upload-size"), "{found:#?}");
    assert_eq!(said.status.code(), Some(0), "a warning is no fault");
}

#[tokio::test]
async fn what_is_missing_in_a_folder_is_told_with_the_command_that_brings_it() {
    let (engine, folder, one) =
        (Comfyport::simulator(), tempfile::tempdir().unwrap(), Repository::new("one"));
    let commit = one.commit(&[("__init__.py", &nodes(&["One"]))]);
    let (comfyui, lock) = (folder.path().join("my ui"), folder.path().join("comfyport.lock"));
    fs::create_dir(&comfyui).unwrap();
    furnish(&comfyui);
    fs::create_dir_all(comfyui.join("user/__manager")).unwrap();
    fs::write(comfyui.join("user/__manager/config.ini"), "[default]\nsecurity_level = weak\n").unwrap();
    let text_of_lock = format!(
        "version = 1\n\n[[pack]]\nid = \"one\"\nrepository = \"{}\"\ncommit = \"{commit}\"\nclasses = [\"One\"]\n\
         python = \">=3.99\"\nworkflows = [\"sd15/txt2img\"]\n\n[[model]]\nfolder = \"vae\"\nfile = \"x.safetensors\"\nsize = 1000\n\
         workflows = [\"sd15/txt2img\"]\n",
        one.url()
    );
    fs::write(&lock, text_of_lock).unwrap();
    let (comfyui, lock) = (comfyui.to_str().unwrap(), lock.to_str().unwrap());
    let settings =
        [("COMFYPORT_NODES_GIT_TRANSPORTS", "[\"file\"]"), ("COMFYPORT_MODELS_RESERVE_BYTES", "0")];
    let common =
        ["--comfyui-url", engine.url(), "--workflow", "sd15/txt2img", "--comfyui", comfyui, "--lock", lock];
    let said = doctor(&common, &settings).await;
    let report = text(&said);
    assert_eq!(said.status.code(), Some(1), "{report}");
    for expected in [
        format!("mend: comfyport nodes install --comfyui '{comfyui}'\n"),
        format!("mend: comfyport models pull --to '{comfyui}/models'\n"),
        "vae/x.safetensors".to_owned(),
        "`security_level = weak`".to_owned(),
        "the Python of ComfyUI is not known".to_owned(),
        "one asks for Python >=3.99, and this is 3.11.7".to_owned(),
        "faults: 2".to_owned(),
    ] {
        assert!(report.contains(&expected), "no {expected} in\n{report}");
    }
    // No disk is large enough for this.
    let settings_of_disk = [settings[0], ("COMFYPORT_MODELS_RESERVE_BYTES", "1000000000000000")];
    let said = doctor(&common, &settings_of_disk).await;
    assert!(text(&said).contains("disk: ") && text(&said).contains("models cleanup --to"), "{}", text(&said));

    // What it says mends it.
    let mut install = command(&["nodes", "install", "--comfyui", comfyui, "--lock", lock]);
    install.args(["--workflow", "sd15/txt2img"]).envs(settings);
    assert!(install.output().unwrap().status.success());
    fs::create_dir_all(format!("{comfyui}/models/vae")).unwrap();
    fs::create_dir_all(format!("{comfyui}/models/checkpoints")).unwrap();
    let needed = doctor(&[&common[..], &["--format", "json"]].concat(), &settings).await;
    let models = of(&findings(&needed), "models")["what"].to_string();
    for word in models.split([' ', ',', '"']).filter(|word| word.ends_with(".safetensors")) {
        fs::write(format!("{comfyui}/models/{word}"), "x").unwrap();
    }
    let said = doctor(&common, &settings).await;
    assert_eq!(said.status.code(), Some(0), "{}", text(&said));
}

/// An engine that is old, open, small and empty, on all addresses of this machine.
async fn neglected() -> SocketAddr {
    let stats = json!({
        "system": {"comfyui_version": "0.2.7", "python_version": "3.9.1", "argv": ["main.py", "--listen"]},
        "devices": [{"name": "cuda:0 \u{1b}[31mred", "type": "cuda", "vram_total": 4_000_000_000_u64, "vram_free": 1}],
    });
    let routes = Router::new()
        .route("/system_stats", get(async move || Json(stats)))
        .route("/features", get(async || Json(json!({"max_upload_size": 1000}))))
        .route("/object_info", get(async || Json(json!({}))))
        .route("/models/{folder}", get(async || Json(json!([]))))
        .route("/v2/manager/version", get(async || "V4.2.2"))
        .route(
            "/v2/manager/is_legacy_manager_ui",
            get(async || Json(json!({"is_legacy_manager_ui": false}))),
        );
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

/// Whether this machine is in a network at all.
fn has_network() -> bool {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").is_ok() && !socket.local_addr().unwrap().ip().is_loopback()
}

#[tokio::test]
async fn an_engine_that_is_not_well_is_told_what_mends_it() {
    let url = format!("http://127.0.0.1:{}", neglected().await.port());
    let arguments = ["--comfyui-url", &url, "--workflow", "sd15/txt2img", "--format", "json"];
    let said = doctor(&arguments, &[]).await;
    assert_eq!(said.status.code(), Some(1));
    let found = findings(&said);
    let version = of(&found, "version");
    assert!(version["what"].to_string().contains("0.2.7 is older"), "{found:#?}");
    assert!(version["mend"].to_string().contains("checkout v0.3.64"), "{found:#?}");
    let reach = of(&found, "reach");
    if has_network() {
        assert_eq!(reach["level"], "fault", "{found:#?}");
        assert!(reach["what"].to_string().contains("to anybody in"), "{found:#?}");
    } else {
        assert_eq!(reach["level"], "warning", "{found:#?}");
    }
    assert!(reach["mend"].to_string().contains("--listen 127.0.0.1"), "{found:#?}");
    assert_eq!(of(&found, "uploads")["level"], "warning");
    let manager = of(&found, "manager");
    assert!(
        manager["what"].to_string().contains("4.2.2") && manager["mend"].to_string().contains("network_mode")
    );
    let workflow = of(&found, "workflow");
    assert!(workflow["what"].to_string().contains("node class KSampler"), "{found:#?}");
    assert!(workflow["mend"].to_string().contains("on its machine: comfyport models pull"), "{found:#?}");
    assert!(!String::from_utf8(said.stdout).unwrap().contains("\\u001b"), "nothing that terminals obey");

    let away = doctor(&["--comfyui-url", "http://127.0.0.1:1"], &[]).await;
    assert_eq!(away.status.code(), Some(1));
    assert!(text(&away).contains("nothing that is a ComfyUI answers"), "{}", text(&away));
    let wrong = doctor(&["--engine", "nobody"], &[]).await;
    assert_eq!(wrong.status.code(), Some(2));
    let unknown = doctor(&["--comfyui-url", &url, "--workflow", "no/such"], &[]).await;
    assert_eq!(unknown.status.code(), Some(2));
}
