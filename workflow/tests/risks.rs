//! What is said of nodes that do more than compute, and of models whose licences restrict their use.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use comfyport_workflow::{Catalog, Endpoint, Options, Param, Severity, Sidecar, Tier, endpoint};
use serde_json::{Value, json};

fn infer(graph: &Value, sidecar: &str) -> Endpoint {
    let sidecar = Sidecar::parse(sidecar).unwrap();
    let options = Options {
        file: "risky.json",
        path: "risky",
        catalog: Catalog::core(),
        sidecar: Some(&sidecar),
        lock: None,
    };
    endpoint(graph.to_string().as_bytes(), &options).unwrap()
}

/// What is said of risks and licences, and of the sidecar file.
fn said(graph: &Value, sidecar: &str) -> String {
    let endpoint = infer(graph, sidecar);
    let ours = |code: &str| ["risk-", "licence-", "sidecar"].iter().any(|start| code.starts_with(start));
    let found = endpoint.diagnostics.iter().filter(|one| ours(one.code));
    found.map(|one| one.render("risky.json")).collect::<Vec<_>>().join("\n")
}

fn risky() -> Value {
    json!({
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}},
        "2": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "hunyuan3d-dit-v2.safetensors"}},
        "3": {"class_type": "PythonCodeExecutor", "_meta": {"title": "Tidy up"},
            "inputs": {"code": "import os", "model": ["1", 0], "other": ["2", 0]}},
        "4": {"class_type": "LoadImageFromUrl", "inputs": {"image": "https://example.com/a.png"}},
        "5": {"class_type": "MysteryNode", "inputs": {"image": ["4", 0], "output_path": "/var/data/x", "steps": 3}},
        "6": {"class_type": "LoadTextFromFolder", "inputs": {"folder": "/etc"}},
        "7": {"class_type": "FluxProUltraImageNode", "inputs": {"prompt": ["6", 0], "seed": 1}},
        "8": {"class_type": "DifferentialDiffusion", "inputs": {"model": ["3", 0]}},
        "9": {"class_type": "Mixer", "inputs": {"a": ["5", 0], "b": ["7", 0], "c": ["8", 0], "d": ["11", 0]}},
        "11": {"class_type": "Announcer", "inputs": {"webhook_url": "https://example.com/hook"}},
        "10": {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "x"}},
    })
}

#[test]
fn risks_are_named_with_the_input_that_says_on_what() {
    insta::assert_snapshot!(said(&risky(), ""));
}

#[test]
fn what_nodes_fetch_by_themselves_is_named() {
    let reaches = |class: &str, inputs: Value| {
        let graph = json!({
            "1": {"class_type": class, "inputs": inputs},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
        });
        let found = infer(&graph, "").diagnostics;
        found
            .iter()
            .filter(|one| one.code == "risk-network")
            .filter_map(|one| one.input.clone())
            .collect::<Vec<_>>()
    };
    let film = reaches("PackLoadVideoPath", json!({"video": "https://films.example/a.mp4"}));
    assert_eq!(film, ["video"]);
    assert!(reaches("PackLoadVideoPath", json!({"video": "/films/a.mp4"})).is_empty());
    assert!(reaches("PackTitle", json!({"text": "https://films.example"})).is_empty());
    let pose = reaches("DWPreprocessor", json!({"bbox_detector": "yolox_l.onnx"}));
    assert_eq!(pose.len(), 1);
}

#[test]
fn what_the_author_accepts_is_a_note() {
    let sidecar = r#"
        [risks]
        runs-code = ["3"]
        paid-service = ["FluxProUltraImageNode"]
        [models."flux1-dev.safetensors"]
        licence_accepted = true
        [models."hunyuan3d-dit-v2.safetensors"]
        licence_accepted = true
    "#;
    insta::assert_snapshot!(said(&risky(), sidecar));
    let warnings = infer(&risky(), sidecar)
        .diagnostics
        .into_iter()
        .filter(|one| one.severity == Severity::Warning && one.code.starts_with("risk-"));
    assert_eq!(warnings.count(), 0);
}

#[test]
fn what_is_accepted_must_be_there() {
    insta::assert_snapshot!(said(
        &risky(),
        "[risks]\nruns-code = [\"PythonCodeRunner\"]\nwrites-path = [\"1\"]"
    ));
    let unknown = Sidecar::parse("[risks]\nrun-code = []").unwrap_err();
    assert_eq!(unknown[0].help.as_deref(), Some("did you mean `runs-code`?"));
}

#[test]
fn code_paths_and_addresses_are_offered_to_callers_only_if_the_author_says_so() {
    let tier = |endpoint: &Endpoint, place: &str| {
        let bound =
            |param: &&Param| param.bindings.iter().any(|one| format!("{}.{}", one.node, one.input) == place);
        endpoint.params.iter().find(bound).unwrap().tier
    };
    let plain = infer(&risky(), "");
    assert_ne!(tier(&plain, "5.steps"), Tier::Hidden, "what is harmless is offered");
    for (place, what) in [
        ("3.code", "`PythonCodeExecutor` runs code, and callers set `code`"),
        ("6.folder", "`LoadTextFromFolder` reads files by their path, and callers set `folder`"),
        (
            "5.output_path",
            "`MysteryNode` writes or removes files by their path, and callers set `output_path`",
        ),
        ("11.webhook_url", "`Announcer` reaches the network, and callers set `webhook_url`"),
    ] {
        assert_eq!(tier(&plain, place), Tier::Hidden, "{place}");
        let sidecar = format!("[params.\"{place}\"]\nexpose = true");
        assert_eq!(tier(&infer(&risky(), &sidecar), place), Tier::Primary, "{place}");
        let said = said(&risky(), &sidecar);
        assert!(said.lines().any(|line| line.starts_with("warning[risk-") && line.ends_with(what)), "{said}");
    }
}

#[test]
fn many_nodes_of_one_class_are_one_finding() {
    let mut graph = serde_json::Map::new();
    for id in 0..5_000 {
        let inputs = if id == 0 { json!({}) } else { json!({"a": [(id - 1).to_string(), 0], "path": "/x"}) };
        graph.insert(id.to_string(), json!({"class_type": "LoadTextFromFolder", "inputs": inputs}));
    }
    graph.insert("end".to_owned(), json!({"class_type": "SaveImage", "inputs": {"images": ["4999", 0]}}));
    let said = said(&Value::Object(graph), "");
    assert_eq!(said.matches("risk-reads-path").count(), 1, "{said}");
    assert!(said.contains("in 5000 nodes"), "{said}");
}

/// Real workflows, under other people's licences: `WORKFLOW_CORPUS` names a folder with `api/`. Prints how many files
/// each finding is made in and what it was made from, to be read by eye.
#[test]
fn findings_in_real_workflows() {
    let Some(corpus) = std::env::var_os("WORKFLOW_CORPUS") else {
        eprintln!("left out: WORKFLOW_CORPUS is not set");
        return;
    };
    let (mut hits, mut files, mut quiet) = (BTreeMap::<&str, BTreeMap<String, usize>>::new(), 0, 0);
    let mut in_files: BTreeMap<&str, usize> = BTreeMap::new();
    for path in fs::read_dir(PathBuf::from(corpus).join("api")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.display().to_string();
        let options = Options { file: &name, path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
        let Ok(endpoint) = endpoint(&fs::read(&path).unwrap(), &options) else { continue };
        files += 1;
        let ours = endpoint
            .diagnostics
            .iter()
            .filter(|one| one.code.starts_with("risk-") || one.code.starts_with("licence-"));
        let mut codes = BTreeSet::new();
        for one in ours {
            codes.insert(one.code);
            let subject = one.message.split('`').nth(1).unwrap_or(&one.message).to_owned();
            let input = one.input.as_deref().unwrap_or_default();
            *hits.entry(one.code).or_default().entry(format!("{subject} {input}")).or_default() += 1;
        }
        quiet += usize::from(codes.is_empty());
        for code in codes {
            *in_files.entry(code).or_default() += 1;
        }
    }
    for (code, subjects) in &hits {
        eprintln!("{code}: {} of {files} files", in_files[code]);
        for (subject, count) in subjects {
            eprintln!("    {count:4} {subject}");
        }
    }
    eprintln!("{quiet} of {files} files have none");
    assert!(files > 0);
}
