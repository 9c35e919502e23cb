//! `comfyport models` over the real binary, against hosts that answer as Hugging Face and CivitAI do.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use comfyport_depot::{
    Sha256,
    testing::{FakeCivitAi, FakeHub, Gate, safetensors, tensors, version},
};
use serde_json::{Value, json};

use crate::process::{command, repository};

/// A models folder, a lock of one workflow, and hosts.
struct Desk {
    folder: tempfile::TempDir,
    hub: FakeHub,
    civitai: FakeCivitAi,
    lora: Vec<u8>,
    vae: Vec<u8>,
}

impl Desk {
    async fn new() -> Self {
        let (hub, civitai) = (FakeHub::start().await, FakeCivitAi::start().await);
        let (lora, vae) = (safetensors(1, 200_000), safetensors(2, 100_000));
        hub.put("o/n", "detail.safetensors", lora.clone());
        civitai.put(version(7, "vae.safetensors", &vae), vae.clone());
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("models")).unwrap();
        let this = Self { folder, hub, civitai, lora, vae };
        this.lock(&Sha256::of(&this.lora).to_string());
        this
    }

    fn lock(&self, sha256: &str) {
        let size = self.lora.len();
        let lock = format!(
            "version = 1\n\n\
             [[model]]\nfolder = \"loras\"\nfile = \"sub/detail.safetensors\"\n\
             urls = [\"https://huggingface.co/o/n/resolve/main/detail.safetensors\"]\n\
             size = {size}\nsha256 = \"{sha256}\"\nworkflows = [\"test/one\"]\n\n\
             [[model]]\nfolder = \"vae\"\nfile = \"vae.safetensors\"\n\
             urls = [\"https://civitai.com/api/download/models/7?token=sesame\"]\nworkflows = [\"test/one\"]\n\n\
             [[model]]\nfolder = \"vae\"\nfile = \"other.safetensors\"\nworkflows = [\"test/two\"]\n"
        );
        std::fs::write(self.folder.path().join("comfyport.lock"), lock).unwrap();
    }

    fn model(&self, path: &str) -> PathBuf {
        self.folder.path().join("models").join(path)
    }

    fn put(&self, path: &str, content: &[u8]) {
        let path = self.model(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Runs a command for the workflow `test/one`, on a thread of its own: the hosts are on this one.
    async fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &["--workflow", "test/one"], &[]).await
    }

    async fn run_with(&self, arguments: &[&str], more: &[&str], settings: &[(&str, &str)]) -> Output {
        let (models, lock) = (self.model(""), self.folder.path().join("comfyport.lock"));
        let mut command = command(&["models"]);
        command.args(arguments).arg("--to").arg(models).arg("--lock").arg(lock).args(more);
        command.env_remove("HF_TOKEN").env_remove("CIVITAI_TOKEN");
        command.env("COMFYPORT_MODELS_HUGGING_FACE", self.hub.host.url.as_str());
        command.env("COMFYPORT_MODELS_CIVITAI", self.civitai.host.url.as_str());
        command.env("COMFYPORT_FETCH_ALLOW", "[\"127.0.0.1\"]").envs(settings.iter().copied());
        command.env("COMFYPORT_MODELS_RESERVE_BYTES", "0").env("COMFYPORT_MODELS_TRIES", "1");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!said.contains("sesame") && !said.contains("X-Signature"), "{said}");
        output
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn what_is_missing_is_fetched_and_what_is_there_is_not() {
    let home = Desk::new().await;
    home.hub.gate("o/n", Gate::Gated(vec!["hf_sesame".to_owned()]));
    let settings = [("HF_TOKEN", "hf_sesame")];
    let pulled = home.run_with(&["pull"], &["--workflow", "test/one"], &settings).await;
    assert_eq!(pulled.status.code(), Some(0), "{}", text(&pulled.stderr));
    assert_eq!(read(&home.model("loras/sub/detail.safetensors")), home.lora);
    assert_eq!(read(&home.model("vae/vae.safetensors")), home.vae);
    assert!(!home.model("vae/other.safetensors").exists());
    let said = text(&pulled.stdout);
    assert!(said.contains("loras/sub/detail.safetensors\t200.1 kB\tfetched\n"), "{said}");
    assert!(
        text(&pulled.stderr).contains("asking hf://o/n@main/detail.safetensors"),
        "plain lines in a pipe"
    );
    let asked = home.hub.host.seen().len();
    let again = home.run_with(&["pull", "--format", "json"], &["--workflow", "test/one"], &settings).await;
    assert_eq!((again.status.code(), home.hub.host.seen().len()), (Some(0), asked));
    let report = json_of(&again);
    assert_eq!(report["models"][0]["how"], "present");
    assert_eq!(report["models"][0]["sha256"], json!(Sha256::of(&home.lora).to_string()));
    // From a file, and with everything in the cache already.
    std::fs::remove_dir_all(home.model("loras")).unwrap();
    let file = home.folder.path().join("token");
    std::fs::write(&file, "hf_sesame\n").unwrap();
    let settings = [("COMFYPORT_MODELS_HUGGING_FACE_TOKEN_FILE", file.to_str().unwrap())];
    let cached = home.run_with(&["pull", "--format", "json"], &["--workflow", "test/one"], &settings).await;
    assert_eq!(json_of(&cached)["models"][0]["how"], "cached");
}

#[tokio::test]
async fn each_failure_says_what_to_do_and_the_others_are_fetched() {
    let home = Desk::new().await;
    home.hub.gate("o/n", Gate::Gated(vec!["hf_other".to_owned()]));
    let failed = home.run(&["pull"]).await;
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stderr);
    assert!(said.contains("access is gated") && said.contains("help: accept the terms at"), "{said}");
    assert!(
        home.model("vae/vae.safetensors").exists() && !home.model("loras/sub/detail.safetensors").exists()
    );
    home.hub.gate("o/n", Gate::Gated(vec!["hf_sesame".to_owned()]));
    home.lock(&Sha256::of(b"something else").to_string());
    let more = ["--workflow", "test/one", "--format", "json"];
    let wrong = home.run_with(&["pull"], &more, &[("HF_TOKEN", "hf_sesame")]).await;
    assert_eq!(wrong.status.code(), Some(1));
    let models = json_of(&wrong);
    assert_eq!(models["models"][0]["error"]["code"], "wrong_hash");
    assert!(!home.model("loras/sub/detail.safetensors").exists());
    // A file of somebody else is left alone unless told otherwise.
    home.lock(&Sha256::of(&home.lora).to_string());
    home.put("loras/sub/detail.safetensors", b"mine");
    let settings = [("HF_TOKEN", "hf_sesame")];
    let conflict = home.run_with(&["pull"], &["--workflow", "test/one"], &settings).await;
    assert_eq!(conflict.status.code(), Some(1));
    assert_eq!(read(&home.model("loras/sub/detail.safetensors")), b"mine");
    let over = home.run_with(&["pull", "--overwrite"], &["--workflow", "test/one"], &settings).await;
    assert_eq!(over.status.code(), Some(0), "{}", text(&over.stderr));
    assert_eq!(read(&home.model("loras/sub/detail.safetensors")), home.lora);
    // Nobody said where this one can be had.
    let nowhere = home.run_with(&["pull"], &["--workflow", "test/two"], &[]).await;
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("no source is known"), "{}", text(&nowhere.stderr));
}

#[tokio::test]
async fn what_is_there_is_verified_listed_and_reported() {
    let home = Desk::new().await;
    home.put("vae/vae.safetensors", &home.vae);
    home.put("vae/copy.safetensors", &home.vae);
    let verified = home.run(&["verify", "--format", "json"]).await;
    assert_eq!(verified.status.code(), Some(1));
    let models = json_of(&verified);
    let states: Vec<&str> =
        models["models"].as_array().unwrap().iter().map(|model| model["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["missing", "unknown"]);
    home.put("loras/sub/detail.safetensors", &home.lora);
    let verified = home.run(&["verify", "--afresh"]).await;
    assert_eq!(verified.status.code(), Some(0));
    assert!(
        text(&verified.stdout).contains("loras/sub/detail.safetensors\tgood"),
        "{}",
        text(&verified.stdout)
    );
    let listed = text(&home.run(&["list"]).await.stdout);
    assert!(listed.contains("vae/vae.safetensors\t100.1 kB\ttest/one"), "{listed}");
    let reported = home.run(&["report"]).await;
    assert_eq!(reported.status.code(), Some(0));
    let report = text(&reported.stdout);
    assert!(report.contains("2 needed, 0 missing"), "{report}");
    assert!(report.contains("the same content: vae/copy.safetensors, vae/vae.safetensors"), "{report}");
    // What was compiled in is needed as well, when no workflow is named.
    let all = home.run_with(&["report", "--format", "json"], &[], &[]).await;
    assert_eq!(all.status.code(), Some(1));
    let report = json_of(&all);
    let needed = report["models"].as_array().unwrap();
    let of = |workflow: &str| needed.iter().any(|model| model["workflows"].to_string().contains(workflow));
    assert!(of("sd15/txt2img") && of("test/two"), "{report:#}");
}

#[tokio::test]
async fn plans_are_printed_first_and_done_when_told() {
    let home = Desk::new().await;
    home.put("checkpoints/wrong.safetensors", &tensors(1, &["lora_unet_x.lora_up.weight"], 100));
    home.put("vae/vae.safetensors", &home.vae);
    let planned = home.run(&["organize"]).await;
    assert_eq!(planned.status.code(), Some(0));
    let said = text(&planned.stdout);
    assert!(said.starts_with("move\tcheckpoints/wrong.safetensors\tloras/wrong.safetensors\n"), "{said}");
    assert!(said.contains("--apply") && home.model("checkpoints/wrong.safetensors").exists());
    let moved = home.run(&["organize", "--apply"]).await;
    assert!(moved.status.success() && home.model("loras/wrong.safetensors").exists());
    let planned = home.run(&["cleanup", "--format", "json"]).await;
    let plan = json_of(&planned);
    assert_eq!(plan["applied"], false);
    assert_eq!(plan["steps"][0]["task"], json!({"task": "remove", "name": "loras/wrong.safetensors"}));
    assert_eq!(plan["steps"].as_array().unwrap().len(), 1);
    assert!(home.model("loras/wrong.safetensors").exists());
    let removed = home.run(&["cleanup", "--apply"]).await;
    assert!(removed.status.success() && !home.model("loras/wrong.safetensors").exists());
    assert!(home.model("vae/vae.safetensors").exists(), "it is needed");
}

#[tokio::test]
async fn wrong_usage_exits_2() {
    let home = Desk::new().await;
    let unknown = home.run_with(&["pull"], &["--workflow", "no/such"], &[]).await;
    assert_eq!(unknown.status.code(), Some(2));
    let missing = command(&["models", "list", "--to", "/nowhere/at/all"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    let unsaid = command(&["models", "list"]).current_dir(repository("docs")).output().unwrap();
    assert_eq!(unsaid.status.code(), Some(2));
    assert!(text(&unsaid.stderr).contains("--to DIR"), "{}", text(&unsaid.stderr));
}
