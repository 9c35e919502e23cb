//! Commands that end: exit codes, and data on standard output alone.

use serde_json::Value;

use crate::process::{repository, run};

#[test]
fn check_reports_a_bundled_workflow_and_exits_0() {
    let output = run(&["check", &repository("workflow_templates/sd15/txt2img.json")]);
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    for word in ["prompt", "negative_prompt", "seed", "steps", "cfg", "width", "height", "KSampler"] {
        assert!(report.contains(word), "no `{word}` in\n{report}");
    }
}

#[test]
fn check_prints_json_for_machines() {
    let output = run(&["check", "--format", "json", &repository("workflow_templates/image/resize.json")]);
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let endpoint = &report["endpoints"][0];
    let names: Vec<&str> = endpoint["params"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|param| param["tier"] == "primary")
        .map(|param| param["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["image", "aspect_ratio", "megapixels", "width", "height"]);
    assert_eq!(endpoint["outputs"][0]["kind"], "image");
}

#[test]
fn check_exits_1_for_a_fault_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ui.json");
    std::fs::write(&file, r#"{"nodes":[],"links":[],"version":0.4}"#).unwrap();
    let output = run(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Export (API)"), "{said}");
}

#[test]
fn a_missing_file_or_command_exits_2() {
    assert_eq!(run(&["check", "/nowhere/at/all.json"]).status.code(), Some(2));
    assert_eq!(run(&["chekc"]).status.code(), Some(2));
}

#[test]
fn the_default_configuration_is_printed_and_valid() {
    let output = run(&["config", "default"]);
    assert_eq!(output.status.code(), Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("comfyport.toml");
    std::fs::write(&file, &output.stdout).unwrap();
    let shown = run(&["config", "show", "--config", file.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(0), "{}", String::from_utf8_lossy(&shown.stderr));
}

#[test]
fn openapi_is_one_document_with_every_workflow() {
    let output = run(&["openapi"]);
    assert_eq!(output.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in ["/sd15/txt2img", "/image/resize", "/health", "/workflows"] {
        assert!(document["paths"].get(path).is_some(), "no {path}");
    }
}

#[test]
fn check_names_risks_and_licences() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("risky.json");
    let graph = serde_json::json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "flux1-dev-fp8.safetensors"}},
        "2": {"class_type": "PythonCodeExecutor", "inputs": {"code": "import os", "model": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "a"}},
    });
    std::fs::write(&file, graph.to_string()).unwrap();
    let check = |format: &str| run(&["check", "--format", format, file.to_str().unwrap()]);
    let codes = || {
        let report: Value = serde_json::from_slice(&check("json").stdout).unwrap();
        let found = report["endpoints"][0]["diagnostics"].as_array().unwrap().clone();
        let ours = found.into_iter().filter(|one| {
            let code = one["code"].as_str().unwrap();
            code.starts_with("risk-") || code.starts_with("licence-")
        });
        ours.map(|one| format!("{} {}", one["severity"].as_str().unwrap(), one["code"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let text = check("text");
    assert_eq!(text.status.code(), Some(0), "a warning is no fault");
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("warning[risk-runs-code]") && text.contains("warning[licence-non-commercial]"),
        "{text}"
    );
    assert_eq!(codes(), ["warning risk-runs-code", "warning licence-non-commercial"]);
    let accepted = "[risks]\nruns-code = [\"PythonCodeExecutor\"]\n\
                    [models.\"flux1-dev-fp8.safetensors\"]\nlicence_accepted = true\n";
    std::fs::write(file.with_extension("toml"), accepted).unwrap();
    assert_eq!(codes(), ["note risk-runs-code", "note licence-non-commercial"]);
}
