//! Workflows that appear, change, break and go while the server runs.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Comfyport, picture_of, repository, run};

/// A picture as small as they come.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";

/// A server over a folder, which it looks at often.
pub(crate) fn serving(folder: &Path) -> Comfyport {
    Comfyport::simulated_with(&[
        ("COMFYPORT_WORKFLOWS_DIR", folder.to_str().unwrap()),
        ("COMFYPORT_WORKFLOWS_POLL_MS", "20"),
    ])
}

/// Puts a file into the folder in one step.
fn put(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let partial = path.with_extension("partial");
    fs::write(&partial, text).unwrap();
    fs::rename(partial, path).unwrap();
}

fn resize() -> String {
    fs::read_to_string(repository("workflow_templates/image/resize.json")).unwrap()
}

/// A sidecar that makes the width and height of it fields of the request.
fn sized(name_of_width: &str) -> String {
    format!(
        "[params.\"2.width\"]\nexpose = true\nname = \"{name_of_width}\"\n[params.\"2.height\"]\nexpose = true\n"
    )
}

/// The entries of a path in the list of workflows.
async fn listed(server: &Comfyport, path: &str) -> Vec<Value> {
    let list = server.read("/workflows", 200).await.json();
    list["workflows"].as_array().unwrap().iter().filter(|entry| entry["path"] == path).cloned().collect()
}

/// Waits until the only entry of a path is as wanted.
async fn until(server: &Comfyport, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..500 {
        if let [entry] = &listed(server, path).await[..]
            && wanted(entry)
        {
            return entry.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} is {:?}\n{}", listed(server, path).await, server.log());
}

async fn until_gone(server: &Comfyport, path: &str) {
    for _ in 0..500 {
        if listed(server, path).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} is still there\n{}", server.log());
}

fn is_current(entry: &Value) -> bool {
    entry["serving"] == "current"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_file_is_served_changed_broken_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = serving(folder.path());
    server.read("/own/shrink", 404).await;
    put(&folder, "own/shrink.toml", &sized("width"));
    put(&folder, "own/shrink.json", &resize());
    let entry = until(&server, "own/shrink", is_current).await;
    assert_eq!(
        (&entry["dynamic"], &entry["usable"], &entry["ready"]),
        (&true.into(), &true.into(), &true.into())
    );
    assert_eq!(server.read("/own/shrink", 200).await.json()["dynamic"], true);
    assert_eq!(server.read("/image/resize", 200).await.json()["dynamic"], false);

    let request = json!({"image": PIXEL, "width": 3, "height": 2});
    let result = server.call("/own/shrink", &request, 200).await;
    let picture = &result["outputs"]["image"][0];
    assert_eq!((&picture["width"], &picture["height"]), (&3.into(), &2.into()), "{result}");
    let document = server.read("/openapi.json", 200).await.json();
    assert!(document["paths"]["/own/shrink"]["post"].is_object());

    // All faults at once.
    let faulty =
        json!({"width": "wide", "heigth": 5, "advanced": {"crop": "centre"}, "options": {"inlin": true}});
    let problem = server.call("/own/shrink", &faulty, 422).await;
    let mut pointers: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    pointers.sort_unstable();
    pointers.dedup();
    assert_eq!(pointers, ["/advanced/crop", "/heigth", "/image", "/options/inlin", "/width"]);

    // The sidecar changes: a field appears under another name, in the description and in requests.
    put(&folder, "own/shrink.toml", &format!("title = \"Smaller\"\n{}", sized("breadth")));
    until(&server, "own/shrink", |entry| entry["title"] == "Smaller").await;
    server.call("/own/shrink:check", &json!({"image": PIXEL, "breadth": 3}), 200).await;
    server.call("/own/shrink:check", &json!({"image": PIXEL, "width": 3}), 422).await;
    let document = server.read("/openapi.json", 200).await.json();
    assert!(document["components"]["schemas"]["OwnShrinkRequest"]["properties"]["breadth"].is_object());

    // It breaks: what was served is served on, and the diagnostics tell.
    put(&folder, "own/shrink.json", "{\"1\": {");
    let entry = until(&server, "own/shrink", |entry| entry["usable"] == false).await;
    assert_eq!(
        (&entry["serving"], &entry["diagnostics"][0]["code"]),
        (&"last_good".into(), &"invalid-json".into())
    );
    server.call("/own/shrink", &json!({"image": PIXEL, "breadth": 3, "height": 2}), 200).await;
    assert_eq!(server.read("/own/shrink", 200).await.json()["serving"], "last_good");

    // It is mended, and goes.
    put(&folder, "own/shrink.json", &resize());
    until(&server, "own/shrink", is_current).await;
    fs::remove_file(folder.path().join("own/shrink.json")).unwrap();
    until_gone(&server, "own/shrink").await;
    server.read("/own/shrink", 404).await;
    server.call("/own/shrink", &request, 404).await;
    assert!(server.read("/openapi.json", 200).await.json()["paths"].get("/own/shrink").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_served_as_the_workflow_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let server = serving(folder.path());
    fs::write(folder.path().join("again.png"), picture_of("sd15/txt2img").await).unwrap();
    assert_eq!(until(&server, "again", is_current).await["file"], "again.png");
    server.call("/again", &json!({"prompt": "a hare"}), 200).await;

    // Another file of the same route does not take it, until this one is gone.
    put(&folder, "again.json", &resize());
    let entry = until(&server, "again.json", |_| true).await;
    assert_eq!((&entry["usable"], &entry["diagnostics"][0]["code"]), (&false.into(), &"two-files".into()));
    assert_eq!(until(&server, "again", is_current).await["file"], "again.png");
    fs::remove_file(folder.path().join("again.png")).unwrap();
    until(&server, "again", |entry| is_current(entry) && entry["file"] == "again.json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_learns_what_new_workflows_need() {
    let folder = tempfile::tempdir().unwrap();
    let server = serving(folder.path());
    let workflow = json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "own.safetensors"}},
        "2": {"class_type": "OwnPainter", "inputs": {"model": ["1", 0], "text": "a fox"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    });
    put(&folder, "paint.json", &workflow.to_string());
    let entry = until(&server, "paint", is_current).await;
    assert_eq!(entry["ready"], true, "{entry}");
    server.call("/paint", &json!({"prompt": "a hare"}), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_worked_is_shown_and_disturbs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "broken.json", "{");
    put(&folder, "deep.json", &"[".repeat(1_000_000));
    put(&folder, "good.json", &resize());
    put(&folder, "lonely.toml", "title = \"?\"");
    let server = serving(folder.path());
    let entry = until(&server, "broken", |_| true).await;
    assert_eq!((&entry["usable"], &entry["serving"]), (&false.into(), &"nothing".into()));
    assert_eq!(entry["diagnostics"][0]["code"], "invalid-json");
    assert_eq!(until(&server, "deep", |_| true).await["usable"], false);
    assert_eq!(until(&server, "lonely.toml", |_| true).await["diagnostics"][0]["code"], "lonely-file");
    server.call("/broken", &json!({}), 404).await;
    server.call("/good", &json!({"image": PIXEL}), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compiled_and_what_is_served_keep_their_routes() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "image/resize.json", &resize());
    put(&folder, "jobs/x.json", &resize());
    put(&folder, "own_one.json", &resize());
    let server = serving(folder.path());
    let entries = listed(&server, "image/resize").await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    let (compiled, file) = (&entries[0], &entries[1]);
    assert_eq!((&compiled["dynamic"], &compiled["serving"]), (&false.into(), &"current".into()));
    assert_eq!((&file["usable"], &file["serving"]), (&false.into(), &"nothing".into()));
    assert_eq!(file["diagnostics"][0]["code"], "compiled-route");
    assert_eq!(server.read("/image/resize", 200).await.json()["dynamic"], false);
    assert_eq!(until(&server, "jobs/x", |_| true).await["diagnostics"][0]["code"], "reserved-route");
    // Nearly the same name, and earlier in the order: what is there stays.
    put(&folder, "own-one.json", &resize());
    let entry = until(&server, "own-one", |_| true).await;
    assert_eq!(entry["diagnostics"][0]["code"], "same-route");
    assert!(is_current(&until(&server, "own_one", |_| true).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn node_definitions_in_the_folder_type_custom_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let workflow = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "OwnBlur", "inputs": {"image": ["1", 0], "strength": 3, "edge": "soft"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    });
    put(&folder, "blur.json", &workflow.to_string());
    let server = serving(folder.path());
    let schema = async || server.read("/blur", 200).await.json()["request_schema"].to_string();
    assert!(!schema().await.contains("\"maximum\":17"));
    let definitions = json!({"OwnBlur": {
        "input": {"required": {
            "image": ["IMAGE"],
            "strength": ["INT", {"default": 3, "min": 1, "max": 17}],
            "edge": [["soft", "hard"]],
        }},
        "output": ["IMAGE"], "output_node": false, "python_module": "custom_nodes.own",
    }});
    put(&folder, "object_info.json", &definitions.to_string());
    for _ in 0..500 {
        if schema().await.contains("\"maximum\":17") {
            let faults = json!({"image": PIXEL, "advanced": {"strength": 18, "edge": "sift"}});
            let problem = server.call("/blur:check", &faults, 422).await;
            assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
            // Definitions that cannot be read leave those of before in force.
            put(&folder, "object_info.json", "[]");
            until(&server, "object_info.json", |entry| entry["usable"] == false).await;
            assert!(schema().await.contains("\"maximum\":17"));
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{}", schema().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_say_which_setting_they_are() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "a.json", &resize());
    put(&folder, "b.json", &format!("{}{}", resize(), " ".repeat(20_000)));
    put(&folder, "c.json", &resize());
    let server = Comfyport::simulated_with(&[
        ("COMFYPORT_WORKFLOWS_DIR", folder.path().to_str().unwrap()),
        ("COMFYPORT_WORKFLOWS_MAX_FILES", "2"),
        ("COMFYPORT_WORKFLOWS_MAX_FILE_BYTES", "10000"),
    ]);
    assert!(is_current(&until(&server, "a", |_| true).await));
    assert_eq!(until(&server, "b", |_| true).await["diagnostics"][0]["code"], "too-large");
    assert_eq!(until(&server, "c.json", |_| true).await["diagnostics"][0]["code"], "too-many-files");
}

#[test]
fn a_folder_that_is_not_there_is_a_fault_of_configuration() {
    let output =
        run(&["serve", "--simulate", "--listen", "127.0.0.1:0", "--workflows-dir", "/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/at/all"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_comes_takes_the_plain_path_and_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "own/shrink.toml", "deprecated = true\n");
    put(&folder, "own/shrink.json", &resize());
    let server = serving(folder.path());
    until(&server, "own/shrink", is_current).await;
    let request = json!({"image": PIXEL});
    assert_eq!(server.call("/own/shrink", &request, 200).await["workflow"], "own/shrink");
    server.read("/v1/own/shrink", 404).await;

    put(&folder, "own/shrink@2.json", &resize());
    let entry = until(&server, "v2/own/shrink", is_current).await;
    assert_eq!((&entry["title"], &entry["latest"]), (&json!("Shrink"), &json!(true)));
    assert_eq!(entry["paths"], json!(["own/shrink", "v2/own/shrink"]));
    assert_eq!(server.call("/own/shrink", &request, 200).await["workflow"], "v2/own/shrink");
    assert_eq!(server.call("/v1/own/shrink", &request, 200).await["workflow"], "v1/own/shrink");
    let first = server.read("/v1/own/shrink", 200).await;
    assert_eq!(first.header("deprecation"), "@0");
    assert_eq!(first.header("link"), "</v2/own/shrink>; rel=\"successor-version\"");
    let ids = |document: &Value| {
        let id = |path: &str| document["paths"][path]["post"]["operationId"].clone();
        ["/own/shrink", "/v1/own/shrink", "/v2/own/shrink"].map(id)
    };
    let document = server.read("/openapi.json", 200).await.json();
    assert_eq!(ids(&document), ["own_shrink", "v1_own_shrink", "v2_own_shrink"].map(|id| json!(id)));

    // A version that makes no endpoint takes nothing.
    put(&folder, "own/shrink@3.json", "{");
    until(&server, "v3/own/shrink", |entry| entry["usable"] == false).await;
    assert_eq!(server.call("/own/shrink", &request, 200).await["workflow"], "v2/own/shrink");
    fs::remove_file(folder.path().join("own/shrink@3.json")).unwrap();
    until_gone(&server, "v3/own/shrink").await;

    fs::remove_file(folder.path().join("own/shrink@2.json")).unwrap();
    until_gone(&server, "v2/own/shrink").await;
    assert_eq!(server.call("/own/shrink", &request, 200).await["workflow"], "own/shrink");
    server.read("/v1/own/shrink", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_what_is_compiled_in_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "image/resize@2.json", &resize());
    let server = serving(folder.path());
    let list = server.read("/workflows", 200).await.json();
    let refused = |entry: &&Value| entry["diagnostics"][0]["code"] == "compiled-route";
    let entry =
        list["workflows"].as_array().unwrap().iter().find(refused).unwrap_or_else(|| panic!("{list}"));
    assert_eq!((&entry["path"], &entry["serving"]), (&json!("v2/image/resize"), &json!("nothing")));
    assert_eq!(server.read("/image/resize", 200).await.json()["dynamic"], false);
    server.read("/v2/image/resize", 404).await;
}
