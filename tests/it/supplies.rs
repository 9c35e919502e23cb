//! What workflows need and engines have or lack: told, and given to others.

use comfyport_depot::testing::safetensors;
use comfyport_simulator::{Models, Options, Simulator};
use serde_json::{Value, json};

use crate::process::{Comfyport, run};

/// What `sd15/txt2img` needs.
const CHECKPOINT: &str = "v1-5-pruned-emaonly-fp16.safetensors";

/// A ComfyUI with a models folder that is on this machine.
struct Home {
    folder: tempfile::TempDir,
    engine: Simulator,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let models = folder.path().join("models");
        std::fs::create_dir(&models).unwrap();
        let options = Options { models: Models::In(models), ..Options::default() };
        Self { engine: Simulator::start(options).await.unwrap(), folder }
    }

    fn put(&self, path: &str, content: &[u8]) {
        let path = self.folder.path().join("models").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A server in front of it that knows the folder.
    fn serve(&self, settings: &[(&str, &str)]) -> Comfyport {
        let models = self.folder.path().join("models");
        let mut all = vec![("COMFYPORT_MODELS_DIR", models.to_str().unwrap())];
        all.push(("COMFYPORT_READINESS_FRESH_S", "0"));
        all.extend(settings);
        Comfyport::in_front_of_with(&self.engine.url(), &all)
    }
}

fn model<'l>(list: &'l Value, file: &str) -> &'l Value {
    let models = list["models"].as_array().unwrap();
    models.iter().find(|model| model["file"] == file).unwrap_or_else(|| panic!("no {file} in {list:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_told_with_who_needs_them_and_who_lacks_them() {
    let there = Home::new().await;
    there.put("loras/sub/own.safetensors", &safetensors(1, 100));
    let server = there.serve(&[]);
    let all = server.read("/models", 200).await.json();
    assert_eq!(all["engines"], json!([{"engine": "comfyui", "answers": true}]));
    let checkpoint = model(&all, CHECKPOINT);
    assert_eq!(checkpoint["folder"], "checkpoints");
    assert_eq!(checkpoint["engines"], json!({"comfyui": "missing"}));
    assert!(checkpoint["needed_by"].as_array().unwrap().contains(&json!("sd15/txt2img")), "{checkpoint}");
    let own = model(&all, "sub/own.safetensors");
    assert_eq!((&own["needed_by"], &own["engines"]), (&json!([]), &json!({"comfyui": "present"})));
    // What was fetched meanwhile is there.
    there.put(&format!("checkpoints/{CHECKPOINT}"), &safetensors(2, 100));
    let folder = server.read("/models/checkpoints", 200).await.json();
    assert_eq!(folder["folder"], "checkpoints");
    assert_eq!(model(&folder, CHECKPOINT)["engines"], json!({"comfyui": "present"}));
    assert!(folder["models"].as_array().unwrap().iter().all(|model| model["folder"] == "checkpoints"));
    let missing = server.read("/models?missing=true&workflow=sd15/txt2img", 200).await.json();
    assert_eq!(missing["models"], json!([]));
    let unneeded = server.read("/models?needed=false", 200).await.json();
    assert_eq!(unneeded["models"].as_array().unwrap().len(), 1);
    server.read("/models/nowhere", 404).await;
    server.read("/models?wanted=true", 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_told_with_their_packs_and_the_module_that_proves_them() {
    let folder = tempfile::tempdir().unwrap();
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "MyInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    });
    std::fs::write(folder.path().join("inverted.json"), graph.to_string()).unwrap();
    let pack =
        "[node_packs.my-pack]\nrepository = \"https://example.com/my-pack\"\nclasses = [\"MyInvert\"]\n";
    std::fs::write(folder.path().join("inverted.toml"), pack).unwrap();
    let lock = folder.path().join("project.lock");
    let pinned = "version = 1\n[[pack]]\nid = \"My-Pack\"\nversion = \"1.2.0\"\nclasses = [\"MyInvert\"]\n\
                  workflows = [\"inverted\"]\n";
    std::fs::write(&lock, pinned).unwrap();
    let settings = [
        ("COMFYPORT_WORKFLOWS_DIR", folder.path().to_str().unwrap()),
        ("COMFYPORT_SUPPLIES_LOCK", lock.to_str().unwrap()),
    ];
    let server = Comfyport::simulated_with(&settings);
    let list = server.read("/nodes", 200).await.json();
    let nodes = list["nodes"].as_array().unwrap();
    let node = |class: &str| nodes.iter().find(|node| node["class_type"] == class).unwrap();
    let sampler = node("KSampler");
    assert_eq!(
        (&sampler["engines"], &sampler["packs"]),
        (&json!({"simulator": {"state": "present"}}), &json!([]))
    );
    assert!(sampler["needed_by"].as_array().unwrap().contains(&json!("sd15/txt2img")), "{sampler}");
    let foreign = json!({
        "class_type": "MyInvert", "needed_by": ["inverted"], "packs": ["My-Pack"],
        "engines": {"simulator": {"state": "present", "module": "custom_nodes.simulated"}},
    });
    assert_eq!(node("MyInvert"), &foreign);
    let pack = json!({
        "id": "My-Pack", "repository": "https://example.com/my-pack", "version": "1.2.0", "classes": ["MyInvert"],
        "needed_by": ["inverted"], "evidence": ["lock", "workflow"], "engines": {"simulator": "present"},
    });
    assert_eq!(list["packs"], json!([pack]));
    // An engine without it, and one that does not answer.
    let bare = Simulator::start(Options::default()).await.unwrap();
    let server = Comfyport::in_front_of_with(&bare.url(), &settings);
    let list = server.read("/nodes", 200).await.json();
    assert_eq!(list["packs"][0]["engines"], json!({"comfyui": "missing"}));
    let server = Comfyport::in_front_of_with("http://127.0.0.1:9", &settings);
    let list = server.read("/nodes", 200).await.json();
    assert_eq!(list["packs"][0]["engines"], json!({"comfyui": "unknown"}));
    assert_eq!(list["engines"][0]["answers"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn model_files_are_given_to_those_who_may_have_them() {
    let there = Home::new().await;
    let content = safetensors(3, 10_000);
    there.put("loras/sub/own.safetensors", &content);
    there.put("loras/notes.txt", b"sesame");
    std::fs::write(there.folder.path().join("secret.safetensors"), b"sesame").unwrap();
    std::os::unix::fs::symlink(
        "../../secret.safetensors",
        there.folder.path().join("models/loras/out.safetensors"),
    )
    .unwrap();
    let shut = there.serve(&[]);
    shut.read("/models/loras/sub/own.safetensors", 404).await;
    let server = there.serve(&[("COMFYPORT_SUPPLIES_GIVE", "true")]);
    let path = "/models/loras/sub/own.safetensors";
    let whole = server.read(path, 200).await;
    assert_eq!((&whole.body, whole.header("accept-ranges")), (&content, "bytes"));
    let etag = whole.header("etag").to_owned();
    let part = server.get(path).header("range", "bytes=100-199").header("if-range", &etag);
    let part = server.expect(part, 206).await;
    assert_eq!(part.body, content[100..200]);
    assert_eq!(part.header("content-range"), format!("bytes 100-199/{}", content.len()));
    let stale = server.get(path).header("range", "bytes=100-").header("if-range", "\"other\"");
    assert_eq!(server.expect(stale, 200).await.body, content);
    let known = server.get(path).header("if-none-match", &etag);
    assert!(server.expect(known, 304).await.body.is_empty());
    let beyond = server.get(path).header("range", "bytes=999999-").send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    for nothing in [
        "/models/loras/notes.txt",
        "/models/loras/out.safetensors",
        "/models/loras/none.safetensors",
        "/models/loras/..%2F..%2Fsecret.safetensors",
        "/models/..%2Fsecret.safetensors",
    ] {
        server.read(nothing, 404).await;
    }
    // From the first key on, it takes one that is for models.
    let key = |scope: &str| {
        let made =
            run(&["keys", "create", scope, "--scope", scope, "--data-dir", server.data().to_str().unwrap()]);
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let (reads, fetches, admin) = (key("read"), key("models"), key("admin"));
    while server.get("/models").bearer_auth(&admin).send().await.unwrap().status() != 200 {
        tokio::task::yield_now().await;
    }
    server.expect(server.get(path).bearer_auth(&reads), 403).await;
    server.expect(server.get("/models").bearer_auth(&reads), 200).await;
    server.expect(server.get("/models").bearer_auth(&fetches), 403).await;
    server.expect(server.get("/models/loras").bearer_auth(&fetches), 403).await;
    assert_eq!(server.expect(server.get(path).bearer_auth(&fetches), 200).await.body, content);
    server.expect(server.get(path).bearer_auth(&admin), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_fetches_from_another() {
    let there = Home::new().await;
    let content = safetensors(4, 300_000);
    there.put("loras/sub/own.safetensors", &content);
    let server = there.serve(&[("COMFYPORT_SUPPLIES_GIVE", "true")]);
    let here = tempfile::tempdir().unwrap();
    let lock = format!(
        "version = 1\n[[model]]\nfolder = \"loras\"\nfile = \"sub/own.safetensors\"\n\
         urls = [\"comfyport+{}\"]\nworkflows = [\"test/one\"]\n",
        server.url()
    );
    std::fs::write(here.path().join("comfyport.lock"), lock).unwrap();
    std::fs::create_dir(here.path().join("models")).unwrap();
    let mut command = crate::process::command(&["models", "pull", "--workflow", "test/one", "--to"]);
    command.arg(here.path().join("models")).arg("--lock").arg(here.path().join("comfyport.lock"));
    command.env("COMFYPORT_FETCH_ALLOW", "[\"127.0.0.1\"]").env("COMFYPORT_MODELS_RESERVE_BYTES", "0");
    let pulled = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    assert_eq!(std::fs::read(here.path().join("models/loras/sub/own.safetensors")).unwrap(), content);
}
