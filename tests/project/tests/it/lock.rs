//! A public API never changes by accident: `comfyport lock`, and builds.

use std::process::Output;

use serde_json::{Map, Value, json};

use crate::{process::run, project::Project};

/// Ids as they are when everything was made in this order.
const IDS: [&str; 7] = ["1", "2", "3", "4", "5", "6", "7"];

/// The ids of an export in which every old id means another node.
const OTHER_IDS: [&str; 7] = ["4", "3", "7", "1", "2", "5", "6"];

/// Text to image. `steps` is a default; nodes come in the order of their ids.
fn graph(ids: [&str; 7], steps: u32, negative: &str) -> String {
    let [model, positive, negated, latent, sampler, decoded, saved] = ids;
    let node = |class: &str, inputs: Value| json!({"class_type": class, "inputs": inputs});
    let nodes = [
        (model, node("CheckpointLoaderSimple", json!({"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"}))),
        (positive, node("CLIPTextEncode", json!({"text": "", "clip": [model, 1]}))),
        (negated, node("CLIPTextEncode", json!({"text": negative, "clip": [model, 1]}))),
        (latent, node("EmptyLatentImage", json!({"width": 512, "height": 512, "batch_size": 1}))),
        (
            sampler,
            node(
                "KSampler",
                json!({
                    "model": [model, 0], "positive": [positive, 0], "negative": [negated, 0],
                    "latent_image": [latent, 0], "seed": 1, "steps": steps, "cfg": 8,
                    "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
                }),
            ),
        ),
        (decoded, node("VAEDecode", json!({"samples": [sampler, 0], "vae": [model, 2]}))),
        (saved, node("SaveImage", json!({"images": [decoded, 0], "filename_prefix": "x"}))),
    ];
    let mut nodes: Vec<String> = nodes.map(|(id, node)| format!("\"{id}\":{node}")).into();
    nodes.sort();
    format!("{{{}}}", nodes.join(","))
}

fn usual() -> String {
    graph(IDS, 20, "blurry")
}

/// The same without a negative prompt of its own.
fn without_negative() -> String {
    usual().replace("\"negative\":[\"3\",0]", "\"negative\":[\"2\",0]")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `comfyport lock …` over the whole folder; what it printed, and its exit code.
fn lock(project: &Project, arguments: &[&str]) -> (String, Option<i32>) {
    let folder = project.path("");
    let output = run(&[&["lock"], arguments, &[folder.trim_end_matches('/')]].concat());
    (said(&output).replace(&folder, ""), output.status.code())
}

fn locked(files: &[(&str, &str)]) -> Project {
    let project = Project::with(files);
    let (text, code) = lock(&project, &["accept"]);
    assert_eq!(code, Some(0), "{text}");
    project
}

#[test]
fn check_tells_by_its_exit_code_whether_the_api_is_kept() {
    let project = Project::with(&[("a.json", &usual())]);
    let unlocked = "a.json: not locked; `comfyport lock accept` does\n";
    assert_eq!(lock(&project, &["check"]), (unlocked.to_owned(), Some(1)));
    assert_eq!(lock(&project, &["accept"]), ("a.json: locked\n".to_owned(), Some(0)));
    assert_eq!(lock(&project, &["check"]), (String::new(), Some(0)));

    project.write("a.json", &graph(OTHER_IDS, 30, "blurry"));
    let noted = "a.json: kept; nodes or defaults moved, `comfyport lock accept` notes it\n";
    assert_eq!(lock(&project, &["check"]), (noted.to_owned(), Some(0)));

    project.write("a.toml", "[params.steps]\nmax = 50\n");
    let narrowed = "a.json: narrowed: `steps` has another greatest value: 50, was 10000 (breaking)\n";
    assert_eq!(lock(&project, &["check"]), (narrowed.to_owned(), Some(1)));

    project.write("a.lock", "version = 99\n");
    let (text, code) = lock(&project, &["check"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("lock file of version 99"), "{text}");
    assert_eq!(run(&["lock", "check", "/nowhere/at/all.json"]).status.code(), Some(2));
    assert_eq!(run(&["lock", "chekc"]).status.code(), Some(2));
}

#[test]
fn accept_prints_the_difference_and_writes_it() {
    let project = locked(&[("a.json", &usual())]);
    project.write(
        "a.toml",
        "[params.steps]\nname = \"quality\"\nmin = 5\n\n[params.\"7.filename_prefix\"]\nhide = true\n",
    );
    let (text, code) = lock(&project, &["accept"]);
    let expected = "a.json: the API changed\n  renamed: `steps` is called `quality` now (breaking)\n  \
                    narrowed: `quality` has another least value: 5, was 1 (breaking)\n";
    assert_eq!((text.as_str(), code), (expected, Some(0)));
    assert!(project.read("a.lock").contains("name = \"quality\""));
    assert_eq!(lock(&project, &["accept"]), ("a.json: unchanged\n".to_owned(), Some(0)));
    assert_eq!(lock(&project, &["check"]), (String::new(), Some(0)));
    project.write("a.json", "{}");
    let before = project.read("a.lock");
    let (text, code) = lock(&project, &["accept"]);
    assert!(code == Some(1) && text.contains("there is no workflow in this file"), "{text}");
    assert_eq!(project.read("a.lock"), before);
}

#[test]
fn a_build_that_would_change_the_api_fails_and_says_how_to_accept_it() {
    let project = locked(&[("a.json", &usual())]);
    assert!(project.build().ok);
    let (code, kept) = (project.generated("a.rs"), project.read("a.lock"));

    project.write("a.json", &without_negative());
    let built = project.build();
    assert!(!built.ok);
    let expected = format!(
        "error[drift]: the public API would change: removed: `negative_prompt` is gone (breaking)\n  --> {}\n",
        project.path("a.json")
    );
    assert!(built.err.contains(&expected), "{}", built.err);
    for command in ["`comfyport lock accept`", "`COMFYPORT_LOCK=accept cargo build`"] {
        assert!(built.err.contains(command), "{}", built.err);
    }
    assert_eq!((project.generated("a.rs"), project.read("a.lock")), (code, kept));

    let built = project.build_with(&[("COMFYPORT_LOCK", "accept")]);
    assert!(built.ok, "{}", built.err);
    let warning = "cargo::warning=a: accepted, removed: `negative_prompt` is gone (breaking)\n";
    assert!(built.out.contains(warning), "{}", built.out);
    assert!(!project.read("a.lock").contains("negative_prompt"));
    assert!(!project.generated("a.rs").contains("negative_prompt"));
    assert!(project.build().ok);
}

#[test]
fn only_the_word_accept_accepts() {
    let project = locked(&[("a.json", &usual())]);
    project.write("a.json", &without_negative());
    for wish in ["", "1", "ACCEPT", "check"] {
        assert!(!project.build_with(&[("COMFYPORT_LOCK", wish)]).ok, "{wish}");
    }
}

/// A document without what may differ between two exports of one workflow: defaults, and which node a field sets.
fn without_defaults(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let rest =
                members.iter().filter(|(name, _)| !["default", "with_defaults"].contains(&name.as_str()));
            Value::Object(
                rest.map(|(name, one)| (name.clone(), without_defaults(one))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(without_defaults).collect()),
        Value::String(text) => {
            let mut parts = text.split(", node ");
            let mut kept = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                kept.push_str(", node ?");
                kept.push_str(part.trim_start_matches(|one: char| one.is_ascii_digit()));
            }
            Value::String(kept)
        }
        other => other.clone(),
    }
}

#[test]
fn a_new_export_with_other_ids_another_order_and_other_defaults_is_the_same_api() {
    let project = locked(&[("a.json", &usual())]);
    assert!(project.build().ok);
    let document =
        |project: &Project| -> Value { serde_json::from_str(&project.generated("a.openapi.json")).unwrap() };
    let before = document(&project);
    project.write("a.json", &graph(OTHER_IDS, 31, "ugly"));
    let built = project.build();
    assert!(built.ok, "{}", built.err);
    assert!(!built.out.contains("cargo::warning"), "{}", built.out);
    let after = document(&project);
    let steps =
        |document: &Value| document.pointer("/components/schemas/ARequest/properties/steps/default").cloned();
    assert_eq!((steps(&before), steps(&after)), (Some(json!(20)), Some(json!(31))));
    assert_eq!(without_defaults(&before), without_defaults(&after));
}

#[test]
fn differences_are_told_to_machines_with_whether_they_break_callers() {
    let project = locked(&[("a.json", &usual()), ("b.json", &usual())]);
    project.write("a.toml", "[params.denoise]\nexpose = false\n\n[params.steps]\nmax = 20000\n");
    let (text, code) = lock(&project, &["check", "--format", "json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &report["breaking"]), (Some(1), &json!(true)));
    let [a, b] = report["workflows"].as_array().unwrap().as_slice() else { panic!("{text}") };
    assert_eq!(
        (&a["file"], &a["status"], &a["breaking"]),
        (&json!("a.json"), &json!("changed"), &json!(true))
    );
    let change =
        |name: &str| a["changes"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    let widened = json!({
        "kind": "widened", "breaking": false, "name": "steps",
        "what": "has another greatest value: 20000, was 10000",
    });
    assert_eq!(change("steps"), &widened);
    assert_eq!(change("advanced.denoise")["kind"], "removed");
    assert_eq!((&b["status"], &b["breaking"], &b["changes"]), (&json!("kept"), &json!(false), &json!([])));
}

#[test]
fn the_locks_of_a_release_are_compared_with_those_of_today() {
    let release = locked(&[("a.json", &usual()), ("q/b.json", &usual())]);
    let today = locked(&[("a.json", &graph(OTHER_IDS, 20, "blurry")), ("q/b.json", &usual())]);
    let folder = release.path("");
    let against = |today: &Project| lock(today, &["check", "--against", folder.trim_end_matches('/')]);
    assert_eq!(against(&today), (String::new(), Some(0)));

    // Accepted in the meantime, and compatible with what was released.
    today.write("a.toml", "[params.steps]\nmax = 20000\n");
    today.write("new.json", &usual());
    assert_eq!(lock(&today, &["accept"]).1, Some(0));
    let compatible = "a.json: widened: `steps` has another greatest value: 20000, was 10000 (compatible)\n\
                      new.json: new (compatible)\n";
    assert_eq!(against(&today), (compatible.to_owned(), Some(0)));

    // Accepted, and not compatible.
    today.write("a.toml", "[params.steps]\nname = \"quality\"\n");
    today.remove("q/b.json");
    today.remove("q/b.lock");
    assert_eq!(lock(&today, &["accept"]).1, Some(0));
    let (text, code) = against(&today);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("a.json: renamed: `steps` is called `quality` now (breaking)\n"), "{text}");
    assert!(text.ends_with("q/b.lock: its workflow is gone (breaking)\n"), "{text}");
    assert_eq!(lock(&today, &["check", "--against", "/nowhere/at/all"]).1, Some(2));
}

/// Two chains that nothing but titles tells apart.
fn twins(ids: [&str; 4], titles: [&str; 2]) -> String {
    let [left, right, first, second] = ids;
    let node = |title: &str| {
        json!({"class_type": "EmptyImage", "_meta": {"title": title},
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}})
    };
    let save = |from: &str| json!({"class_type": "SaveImage", "inputs": {"images": [from, 0], "filename_prefix": "x"}});
    json!({left: node(titles[0]), right: node(titles[1]), first: save(left), second: save(right)}).to_string()
}

#[test]
fn a_name_that_could_mean_two_nodes_is_an_error_with_the_line_that_decides() {
    let sidecar = "[params.\"1.width\"]\nname = \"left\"\n\n[params.\"2.width\"]\nname = \"right\"\n\n\
                   [params.\"1.height\"]\nhide = true\n\n[params.\"2.height\"]\nhide = true\n\n\
                   [outputs.\"3\"]\nname = \"one\"\n\n[outputs.\"4\"]\nname = \"two\"\n";
    let project = locked(&[("a.json", &twins(["1", "2", "3", "4"], ["Left", "Right"])), ("a.toml", sidecar)]);
    project.write("a.json", &twins(["8", "9", "6", "7"], ["EmptyImage", "EmptyImage"]));
    let built = project.build();
    assert!(!built.ok, "{built:?}");
    let expected = "error[ambiguous-lock]: `left` was 1.width and could be 8.width or 9.width now: nothing in the \
                    graph tells them apart";
    assert!(built.err.contains(expected), "{}", built.err);
    let line = "help: decide in the sidecar file:\n        [params.\"8.width\"]\n        name = \"left\"\n";
    assert!(built.err.contains(line), "{}", built.err);

    // The lines it names decide, for all four names.
    let decided = "[params.\"9.width\"]\nname = \"left\"\n\n[params.\"8.width\"]\nname = \"right\"\n\n\
                   [params.\"9.height\"]\nhide = true\n\n[params.\"8.height\"]\nhide = true\n\n\
                   [outputs.\"7\"]\nname = \"one\"\n\n[outputs.\"6\"]\nname = \"two\"\n";
    project.write("a.toml", decided);
    let built = project.build();
    assert!(built.ok, "{}", built.err);
    let document: Value = serde_json::from_str(&project.generated("a.openapi.json")).unwrap();
    let place = document.pointer("/components/schemas/ARequest/properties/left/description").unwrap();
    assert!(place.as_str().unwrap().contains("node 9"), "{place}");
}
