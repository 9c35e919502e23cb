//! `comfyport lock` over a folder of workflows: what they need, pinned.

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};

use crate::process::{command, repository};

const HASH: &str = "aa00000000000000000000000000000000000000000000000000000000000000";

/// A picture made with a checkpoint, passed through nodes of these classes.
pub(crate) fn graph(checkpoint: &str, classes: &[&str]) -> String {
    let mut graph = json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "4": {"class_type": "KSampler", "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0],
            "seed": 1, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
        "9": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
    });
    let mut last = "9".to_owned();
    for (position, class) in classes.iter().enumerate() {
        let id = format!("{}", 10 + position);
        graph[&id] = json!({"class_type": class, "inputs": {"image": [last, 0]}});
        last = id;
    }
    graph["99"] = json!({"class_type": "SaveImage", "inputs": {"images": [last, 0], "filename_prefix": "x"}});
    graph.to_string()
}

fn lock(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = command(&["lock"]);
    command.args(arguments).arg(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_project_is_locked_checked_and_kept() {
    let project = tempfile::tempdir().unwrap();
    // What the folder is called makes no difference to the routes.
    let folder = &project.path().join("workflow_templates");
    let file = |name: &str| folder.join(name);
    fs::create_dir_all(file("sub")).unwrap();
    fs::write(file("sub/one.json"), graph("a.safetensors", &["CannyEdgePreprocessor"])).unwrap();
    fs::write(file("two.json"), graph("a.safetensors", &["ImageResize+"])).unwrap();

    // Nothing is locked yet, and it is said what would be.
    let missing = lock(folder, &["--check"]);
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    assert!(said(&missing).contains("model checkpoints/a.safetensors is needed and not locked"));
    assert!(!file("comfyport.lock").exists());

    let written = lock(folder, &["--comfyui", "0.3.64"]);
    let text = said(&written);
    assert!(written.status.success(), "{text}");
    assert!(text.contains("undecided: ImageResize+ of two"), "{text}");
    assert!(
        text.contains("locked without a hash or an address: say where it comes from in models.toml"),
        "{text}"
    );
    // Only what is exact passes a strict check; nothing but what is undecided is missing for the other.
    assert_eq!(lock(folder, &["--check"]).status.code(), Some(1));
    assert!(lock(folder, &["--take-likely"]).status.success());
    assert!(lock(folder, &["--check", "--take-likely"]).status.success());
    assert_eq!(lock(folder, &["--check", "--take-likely", "--strict"]).status.code(), Some(1));

    let list = format!(
        "[[model]]\nfile = \"a.safetensors\"\nurls = [\"https://a.example/a\"]\nsha256 = \"{HASH}\"\nsize = 7\n"
    );
    fs::write(file("models.toml"), list).unwrap();
    let pinned = |id: &str, extra: &str| format!("[node_packs.{id}]\nversion = \"1.0.0\"\n{extra}");
    fs::write(file("sub/one.toml"), pinned("comfyui_controlnet_aux", "")).unwrap();
    let decided = "repository = \"https://github.com/a/mine\"\nclasses = [\"ImageResize+\"]\n";
    fs::write(file("two.toml"), pinned("mine", decided)).unwrap();
    assert!(lock(folder, &[]).status.success());
    let strict = lock(folder, &["--check", "--strict"]);
    assert!(strict.status.success(), "{}", said(&strict));
    let before = fs::read(file("comfyport.lock")).unwrap();
    assert!(lock(folder, &[]).status.success());
    assert_eq!(fs::read(file("comfyport.lock")).unwrap(), before, "the same needs are the same bytes");

    // The workflows change, and the lock does not.
    fs::write(file("two.json"), graph("b.safetensors", &[])).unwrap();
    fs::remove_file(file("two.toml")).unwrap();
    let changed = lock(folder, &["--check", "--format", "json"]);
    assert_eq!(changed.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&changed.stdout).unwrap();
    let changes = report["changes"].to_string();
    assert!(changes.contains("checkpoints/b.safetensors is needed"), "{changes}");
    assert!(changes.contains("node pack mine is locked and no workflow needs it"), "{changes}");
    assert_eq!(report["needs"]["models"][0]["uses"][0]["workflow"], "sub/one");

    // The lock of needs is no API that is gone.
    let against = command(&["lock", "check", "--against"]).arg(folder).arg(folder).output().unwrap();
    assert!(!said(&against).contains("comfyport.lock"), "{}", said(&against));
}

#[test]
fn snapshots_of_others_go_in_and_out() {
    let project = tempfile::tempdir().unwrap();
    let folder = project.path();
    fs::write(folder.join("one.json"), graph("a.safetensors", &["CannyEdgePreprocessor"])).unwrap();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let snapshot = json!({
        "comfyui": commit,
        "python": "3.12",
        "git_custom_nodes": {"https://github.com/Fannovel16/comfyui_controlnet_aux": {"hash": commit, "disabled": false}},
        "cnr_custom_nodes": {"comfyui-kjnodes": "1.1.9"},
        "file_custom_nodes": [{"filename": "one.py", "disabled": false}],
        "models": [{"filename": "models/checkpoints/a.safetensors", "size": 7, "sha256": HASH, "disabled": false,
                    "source": {"source": "huggingface", "repo": "o/r", "commit": "abc", "path": "a.safetensors"}}],
    });
    let file = folder.join("snapshot.json.txt");
    fs::write(&file, snapshot.to_string()).unwrap();
    let imported = command(&["lock", "import"]).arg(&file).arg(folder).output().unwrap();
    let text = said(&imported);
    assert!(imported.status.success(), "{text}");
    assert!(text.contains(&format!("node pack comfyui_controlnet_aux at {commit}")), "{text}");
    assert!(
        text.contains("model checkpoints/a.safetensors")
            && text.contains("left out, packs of one file: one.py"),
        "{text}"
    );
    assert!(lock(folder, &["--check", "--strict"]).status.success());

    let export = |kind: &str| -> Value {
        let done = command(&["lock", "export", kind]).arg(folder).output().unwrap();
        assert!(done.status.success(), "{}", said(&done));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let manager = export("manager");
    assert_eq!(
        manager["git_custom_nodes"]["https://github.com/Fannovel16/comfyui_controlnet_aux"]["hash"],
        commit
    );
    assert_eq!(manager["cnr_custom_nodes"], json!({}), "what no workflow needs is not in it");
    let pack = export("comfy-pack");
    assert_eq!(pack["models"][0]["source"]["commit"], "abc");
    assert_eq!(pack["python"], "3.12");

    fs::write(&file, "{}").unwrap();
    let refused = command(&["lock", "import"]).arg(&file).arg(folder).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("no snapshot"), "{}", said(&refused));
}

#[test]
fn what_cannot_be_locked_says_why() {
    let project = tempfile::tempdir().unwrap();
    let folder = project.path();
    assert_eq!(lock(&folder.join("nowhere"), &[]).status.code(), Some(2));
    fs::write(folder.join("broken.json"), "{}").unwrap();
    let broken = lock(folder, &[]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(
        said(&broken).contains("makes no endpoint") && !folder.join("comfyport.lock").exists(),
        "{}",
        said(&broken)
    );
    fs::remove_file(folder.join("broken.json")).unwrap();
    fs::write(folder.join("models.json"), graph("a.safetensors", &[])).unwrap();
    let named = lock(folder, &[]);
    assert!(said(&named).contains("a workflow is called `models`"), "{}", said(&named));
    fs::rename(folder.join("models.json"), folder.join("one.json")).unwrap();
    fs::write(folder.join("models.toml"), "[[model]]\nfile = \"a\"\nsha256 = \"1\"\n").unwrap();
    assert!(said(&lock(folder, &[])).contains("64 hexadecimal"), "{}", said(&lock(folder, &[])));
    fs::remove_file(folder.join("models.toml")).unwrap();
    fs::write(folder.join("comfyport.lock"), "version = 99\n").unwrap();
    assert!(said(&lock(folder, &[])).contains("version 99"));
}

#[test]
fn the_lock_of_the_examples_is_what_they_need() {
    let checked = lock(Path::new(&repository("workflow_templates")), &["--check"]);
    assert!(checked.status.success(), "{}", said(&checked));
}
