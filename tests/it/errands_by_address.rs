//! Model files that callers tell by their addresses.

use std::sync::Arc;

use comfyport_depot::testing::{Fault, safetensors};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    errands::{CHECKPOINT, Home, follow, id_of, until},
    process::repository,
};

fn txt2img() -> Value {
    let graph = std::fs::read_to_string(repository("workflow_templates/sd15/txt2img.json")).unwrap();
    serde_json::from_str(&graph).unwrap()
}

/// A workflow whose checkpoint and decoder callers may choose, by address as well or by name only.
fn drawn(home: &Home, from_url: bool) -> String {
    let folder = home.folder.path().join(format!("drawn-{from_url}"));
    std::fs::create_dir(&folder).unwrap();
    let mut graph = txt2img();
    graph["11"] = json!({"class_type": "VAELoader", "inputs": {"vae_name": "own.safetensors"}});
    graph["8"]["inputs"]["vae"] = json!(["11", 0]);
    std::fs::write(folder.join("drawn.json"), graph.to_string()).unwrap();
    let sidecar = format!(
        "[params.\"4.ckpt_name\"]\nname = \"checkpoint\"\nexpose = true\nfrom_url = {from_url}\n\
         [params.\"11.vae_name\"]\nname = \"vae\"\nexpose = \"advanced\"\nfrom_url = {from_url}\n"
    );
    std::fs::write(folder.join("drawn.toml"), sidecar).unwrap();
    folder.to_str().unwrap().to_owned()
}

fn address(file: &str) -> String {
    format!("https://huggingface.co/o/models/resolve/main/{file}")
}

fn ask(file: &str) -> Value {
    json!({"prompt": "a fox", "steps": 1, "checkpoint": address(file), "advanced": {"vae": "own.safetensors"}})
}

fn put(home: &Home, path: &str, content: &[u8]) {
    std::fs::create_dir_all(home.model(path).parent().unwrap()).unwrap();
    std::fs::write(home.model(path), content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_fetched_by_address_and_jobs_wait_for_them() {
    let home = Home::new().await;
    let (data, go_on) = (tempfile::tempdir().unwrap(), Arc::new(Notify::new()));
    let (painted, decoder) = (safetensors(7, 300_000), safetensors(8, 300_000));
    home.hub.put("o/models", "painted.safetensors", painted.clone());
    home.hub.put("o/models", "decoder.safetensors", decoder.clone());
    let workflows = drawn(&home, true);
    let server = home.serve(data.path(), &[("COMFYPORT_WORKFLOWS_DIR", &workflows)]);
    let mut both = ask("painted.safetensors?token=sesame");
    both["advanced"]["vae"] = json!(address("decoder.safetensors"));
    home.hub.storage.fault(Fault::Hold(100_000, Arc::clone(&go_on)));
    let post = server.post("/drawn").header("prefer", "respond-async").body(both.to_string());
    let id = id_of(&server.expect(post, 202).await.json());
    let waiting = until(&server, &id, |job| job["waiting"]["progress"].is_object()).await;
    let files = json!(["checkpoints/from-url/painted.safetensors", "vae/from-url/decoder.safetensors"]);
    assert_eq!(
        (&waiting["waiting"]["for"], &waiting["waiting"]["items"]),
        (&json!("models"), &files),
        "{waiting:#}"
    );
    go_on.notify_one();
    let (events, job) = follow(&server, &id).await;
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job:#}");
    assert!(events.iter().any(|(name, _)| name == "waiting"), "{events:?}");
    assert_eq!(job["params"]["checkpoint"], "from-url/painted.safetensors", "{job:#}");
    assert_eq!(job["params"]["advanced"]["vae"], "from-url/decoder.safetensors", "{job:#}");
    assert_eq!(std::fs::read(home.model("checkpoints/from-url/painted.safetensors")).unwrap(), painted);
    assert_eq!(std::fs::read(home.model("vae/from-url/decoder.safetensors")).unwrap(), decoder);
    // They are there now, wherever they are looked for.
    let asked = home.hub.host.seen().len() + home.hub.storage.host.seen().len();
    for request in [
        both,
        json!({"prompt": "a fox", "checkpoint": "from-url/painted.safetensors",
        "advanced": {"vae": "from-url/decoder.safetensors"}}),
    ] {
        let done = server.call("/drawn", &request, 200).await;
        assert_eq!(done["params"]["checkpoint"], "from-url/painted.safetensors", "{done:#}");
    }
    assert_eq!(home.hub.host.seen().len() + home.hub.storage.host.seen().len(), asked);
    assert!(!job.to_string().contains("sesame") && !server.log().contains("sesame"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_that_name_is_used_where_there_is_one() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    put(&home, "vae/own.safetensors", &home.checkpoint);
    for file in ["old/mine.safetensors", "a/two.safetensors", "b/two.safetensors"] {
        put(&home, &format!("checkpoints/{file}"), &home.checkpoint);
    }
    let workflows = drawn(&home, true);
    let server = home.serve(data.path(), &[("COMFYPORT_WORKFLOWS_DIR", &workflows)]);
    let done = server.call("/drawn", &ask("mine.safetensors"), 200).await;
    assert_eq!(done["params"]["checkpoint"], "old/mine.safetensors", "{done:#}");
    let several = server.call("/drawn", &ask("two.safetensors"), 422).await;
    let fault = &several["errors"][0];
    assert_eq!(fault["pointer"], "/checkpoint", "{several:#}");
    assert_eq!(fault["allowed"], json!(["a/two.safetensors", "b/two.safetensors"]), "{several:#}");
    assert!(fault["message"].as_str().unwrap().contains("say by its name"), "{several:#}");
    assert_eq!(home.hub.host.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_refused_where_no_file_may_come_of_them() {
    let home = Home::new().await;
    let data = tempfile::tempdir().unwrap();
    put(&home, "vae/own.safetensors", &home.checkpoint);
    home.hub.put("o/models", "painted.safetensors", home.checkpoint.clone());
    home.hub.put("o/models", "painted.ckpt", home.checkpoint.clone());
    let by_name = drawn(&home, false);
    let server = home.serve(data.path(), &[("COMFYPORT_WORKFLOWS_DIR", &by_name)]);
    let refused = server.call("/drawn", &ask("painted.safetensors?token=sesame"), 422).await;
    let said = refused.to_string();
    assert!(said.contains("`from_url = true`") && !said.contains("sesame"), "{refused:#}");
    drop(server);
    let allowed = drawn(&home, true);
    let workflows = ("COMFYPORT_WORKFLOWS_DIR", allowed.as_str());
    // Pickles can run code: whatever the operator lets the project itself name.
    for settings in [&[workflows][..], &[workflows, ("COMFYPORT_MODELS_PICKLES", "true")]] {
        let server = home.serve(data.path(), settings);
        let pickle = server.call("/drawn", &ask("painted.ckpt"), 422).await;
        assert!(pickle["detail"].as_str().unwrap().contains("pickles can run code"), "{pickle:#}");
    }
    assert_eq!(home.hub.host.seen().len(), 0);
    let server = home.serve(data.path(), &[workflows]);
    let gone = server.call("/drawn", &ask("none.safetensors"), 502).await;
    assert!(gone["detail"].as_str().unwrap().contains("none.safetensors"), "{gone:#}");
    for address in
        ["https://10.0.0.1/models/12345", "hf://o/models/painted.safetensors", "https://me:pw@host/x.pt"]
    {
        let mut request = ask("");
        request["checkpoint"] = json!(address);
        let odd = server.call("/drawn", &request, 422).await;
        assert_eq!(odd["errors"][0]["pointer"], "/checkpoint", "{odd:#}");
    }
    drop(server);
    let server = home.serve(data.path(), &[workflows, ("COMFYPORT_FETCH_ALLOW", "[]")]);
    let mut inside = ask("");
    inside["checkpoint"] = json!("https://10.0.0.1/x.safetensors");
    let refused = server.call("/drawn", &inside, 502).await;
    assert!(refused["detail"].as_str().unwrap().contains("10.0.0.1"), "{refused:#}");
    let fetched = std::fs::read_dir(home.model("checkpoints/from-url"));
    assert_eq!(fetched.into_iter().flatten().count(), 0);
}

/// A workflow with a list of LoRAs, whose author lets callers name them by address, or does not.
fn styled(home: &Home, allowed: bool) -> String {
    let folder = home.folder.path().join(format!("styled-{allowed}"));
    std::fs::create_dir(&folder).unwrap();
    let mut graph = txt2img();
    graph["10"] = json!({"class_type": "LoraLoader", "inputs": {
        "model": ["4", 0], "clip": ["4", 1], "lora_name": "own.safetensors", "strength_model": 1, "strength_clip": 1,
    }});
    graph["3"]["inputs"]["model"] = json!(["10", 0]);
    for text in ["6", "7"] {
        graph[text]["inputs"]["clip"] = json!(["10", 1]);
    }
    std::fs::write(folder.join("styled.json"), graph.to_string()).unwrap();
    if allowed {
        std::fs::write(folder.join("styled.toml"), "[params.loras]\nfrom_url = true\n").unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn loras_are_fetched_by_address_where_the_workflow_has_it_so() {
    let home = Home::new().await;
    std::fs::create_dir(home.model("checkpoints")).unwrap();
    std::fs::write(home.model(&format!("checkpoints/{CHECKPOINT}")), &home.checkpoint).unwrap();
    let lora = safetensors(7, 50_000);
    home.hub.put("o/styles", "ink.safetensors", lora.clone());
    let ask = |file: &str| {
        let url = format!("https://huggingface.co/o/styles/resolve/main/{file}");
        json!({"prompt": "a fox", "steps": 1, "loras": [{"url": url, "strength": 0.5}]})
    };
    let data = tempfile::tempdir().unwrap();
    let never = styled(&home, false);
    let server = home.serve(data.path(), &[("COMFYPORT_WORKFLOWS_DIR", &never)]);
    let refused = server.call("/styled", &ask("ink.safetensors"), 422).await;
    assert!(refused["detail"].as_str().unwrap().contains("it is not fetched from"), "{refused}");
    drop(server);
    let allowed = styled(&home, true);
    let server = home.serve(data.path(), &[("COMFYPORT_WORKFLOWS_DIR", &allowed)]);
    let done = server.call("/styled", &ask("ink.safetensors"), 200).await;
    assert_eq!(done["params"]["loras"][0]["strength"], 0.5, "{done:#}");
    assert_eq!(std::fs::read(home.model("loras/from-url/ink.safetensors")).unwrap(), lora);
    let job = server.read(&format!("/jobs/{}/events", done["id"].as_str().unwrap()), 200).await.text();
    assert!(job.contains("event: waiting"), "{job}");
    // It is there now.
    let asked = home.hub.host.seen().len();
    server.call("/styled", &ask("ink.safetensors"), 200).await;
    assert_eq!(home.hub.host.seen().len(), asked);
    // What is not there, what can run code, and what leads inside.
    let gone = server.call("/styled", &ask("none.safetensors"), 502).await;
    assert!(gone["detail"].as_str().unwrap().contains("none.safetensors"), "{gone}");
    let pickle = server.call("/styled", &ask("ink.ckpt"), 422).await;
    assert!(pickle["detail"].as_str().unwrap().contains("pickles"), "{pickle}");
    drop(server);
    let inside = [("COMFYPORT_WORKFLOWS_DIR", allowed.as_str()), ("COMFYPORT_FETCH_ALLOW", "[]")];
    let server = home.serve(data.path(), &inside);
    let url = json!([{"url": "https://10.0.0.1/x.safetensors"}]);
    let refused = server.call("/styled", &json!({"prompt": "a fox", "loras": url}), 502).await;
    assert!(refused["detail"].as_str().unwrap().contains("10.0.0.1"), "{refused}");
}
