//! Names and texts that try to become code. `tests/clashes` holds one small workflow for each clash.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

#[path = "support/cargo.rs"]
mod cargo;
mod support;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use comfyport_codegen::{Generated, Template, generate};
use comfyport_workflow::{Catalog, is_disruptive};
use serde_json::json;

fn clashes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clashes")
}

fn assert_sound(generated: &Generated, context: &str) {
    for (name, text) in &generated.files {
        if name.ends_with(".json") {
            let fragment: serde_json::Value = serde_json::from_str(text).expect(name);
            assert!(fragment["paths"].is_object(), "{name}");
            continue;
        }
        if let Err(error) = syn::parse_file(text) {
            panic!("{name} is not Rust: {error}\n{context}\n{text}");
        }
        let odd = text.chars().find(|one| *one != '\n' && is_disruptive(*one));
        assert_eq!(odd, None, "{name} holds a character that reorders or hides text\n{context}");
    }
}

#[test]
fn every_clash_gives_rust() {
    let folder = clashes();
    let templates = support::templates(&folder);
    let generated =
        generate(&templates, &support::catalog(&folder)).unwrap_or_else(|found| panic!("{found:#?}"));
    assert_sound(&generated, "clashes");
    let mut ids = BTreeSet::new();
    for (name, text) in generated.files.iter().filter(|(name, _)| name.ends_with(".json")) {
        let fragment: serde_json::Value = serde_json::from_str(text).expect(name);
        let operations =
            fragment["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
        for (_, operation) in operations {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "operation `{id}` of {name} is another's too");
        }
        for schema in fragment["components"]["schemas"].as_object().unwrap().keys() {
            assert!(ids.insert(schema.clone()), "schema `{schema}` of {name} is another's too");
        }
    }
    let outputs = &generated.files["duplicate_titles.rs"];
    for name in ["photo", "photo_2", "photo_2_2", "photo_3"] {
        assert!(outputs.contains(&format!("pub {name}: Vec<")), "`{name}` in {outputs}");
    }
    let endpoints = &generated.files["endpoints.rs"];
    assert_eq!(endpoints.matches("::ENDPOINT").count(), templates.len(), "{endpoints}");
}

#[test]
fn one_list_is_one_enum_and_a_second_list_has_its_class_in_its_name() {
    let folder = clashes();
    let generated = generate(&support::templates(&folder), &support::catalog(&folder)).expect("code");
    let options = &generated.files["options.rs"];
    let names: Vec<&str> =
        options.lines().filter_map(|line| line.strip_prefix("pub enum ")?.strip_suffix(" {")).collect();
    assert_eq!(names.iter().filter(|name| **name == "Mode").count(), 1, "{names:?}");
    assert_eq!(names.iter().filter(|name| name.ends_with("Mode")).count(), 3, "{names:?}");
    assert_eq!(names.iter().filter(|name| **name == "UpscaleMethod").count(), 1, "{names:?}");
}

/// Parts of which texts are put together that end a literal, a comment, a format or a line.
const PARTS: &[&str] = &[
    "\"",
    "#",
    "r#\"",
    "\"#",
    "*/",
    "/*",
    "//",
    "\n",
    "\r",
    "\t",
    "\0",
    "{",
    "}",
    "{{",
    "[",
    "](",
    "<",
    ">",
    "`",
    "\\",
    "\\u{",
    "'",
    "$",
    "#[",
    "#![",
    "self",
    "fn",
    "é",
    "写",
    "\u{202e}",
    "\u{2066}",
    "\u{2028}",
    "\u{feff}",
    "\u{301}",
    "😀",
    " ",
    "a",
    "B",
    "9",
    "_",
    "-",
    ".",
    "%",
    "::",
    "ENDPOINT",
    "concat!(env!(\"PATH\"))",
];

/// Small and repeatable: the same texts on every run.
struct Texts(u64);

impl Texts {
    fn number(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn text(&mut self) -> String {
        (0..=self.number(6)).map(|_| PARTS[self.number(PARTS.len())]).collect()
    }
}

#[test]
fn texts_of_a_workflow_never_become_code() {
    let catalog = Catalog::core();
    let mut texts = Texts(1);
    let mut emitted = 0;
    for _ in 0..150 {
        let mut text = || texts.text();
        let (node, class) = (text(), text());
        let graph = json!({
            "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": text()}, "_meta": {"title": text()}},
            "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": text()}, "_meta": {"title": text()}},
            "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
            "4": {"class_type": "KSampler", "_meta": {"title": text()}, "inputs": {
                "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0],
                "seed": 1, "steps": 20, "cfg": 7, "sampler_name": text(), "scheduler": "normal", "denoise": 1}},
            "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
            "6": {"class_type": "LoadImage", "inputs": {"image": text()}, "_meta": {"title": text()}},
            node.clone(): {"class_type": class, "_meta": {"title": text()}, "inputs": {
                "images": ["5", 0], "other": ["6", 0], text(): text(), text(): 1, text(): true}},
            "8": {"class_type": "SaveImage", "_meta": {"title": text()},
                "inputs": {"images": [node, 0], "filename_prefix": text()}},
        });
        let template = Template {
            path: "hostile".to_owned(),
            file: "hostile.json".to_owned(),
            bytes: graph.to_string().into_bytes(),
            sidecar: None,
            lock: None,
        };
        // A diagnostic is as good an answer; most of these are odd, not wrong.
        if let Ok(generated) = generate(&[template], catalog) {
            assert_sound(&generated, &graph.to_string());
            emitted += 1;
        }
    }
    assert!(emitted >= 75, "only {emitted} of 150 gave code");
}

fn check(folder: &Path) {
    let output = cargo::check(folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "runs cargo on the `generated` crate; run with `--ignored`"]
fn every_clash_compiles_without_a_warning() {
    check(&clashes());
}

/// Workflows that are errors are left out and counted; everything else must compile.
#[test]
#[ignore = "runs cargo on the `generated` crate; run with `--ignored`"]
fn real_workflows_compile_without_a_warning() {
    let Some(corpus) = env::var_os("WORKFLOW_CORPUS") else {
        eprintln!("skipped: WORKFLOW_CORPUS is not set");
        return;
    };
    let usable = tempfile::tempdir().expect("a folder");
    let (mut all, mut errors) = (0, 0);
    for template in support::templates(&Path::new(&corpus).join("api")) {
        all += 1;
        match generate(std::slice::from_ref(&template), Catalog::core()) {
            Ok(generated) => {
                assert_sound(&generated, &template.path);
                fs::write(usable.path().join(format!("{}.json", template.path)), &template.bytes)
                    .expect("a copy");
            }
            Err(found) => {
                errors += 1;
                let first = found.iter().find(|(_, found)| found.is_error()).expect("an error");
                eprintln!("{}", first.1.render(&first.0));
            }
        }
    }
    eprintln!("{} of {all} workflows give code, {errors} are errors", all - errors);
    assert!(errors * 20 <= all, "{errors} of {all} workflows are refused");
    check(usable.path());
}
