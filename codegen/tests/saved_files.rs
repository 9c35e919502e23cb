//! Files that ComfyUI saved, as templates: a picture is as good as the JSON it holds.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

#[path = "support/cargo.rs"]
mod cargo;
#[allow(dead_code)]
#[path = "../../tests/support/containers.rs"]
mod containers;

use std::{collections::BTreeMap, fs};

use comfyport_codegen::{Template, generate};
use comfyport_workflow::Catalog;
use containers::CONTAINERS;
use serde_json::json;

fn prompt() -> String {
    json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}, "_meta": {"title": "反転"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
    })
    .to_string()
}

fn workflow() -> String {
    let links = |link: u32| json!([{"name": "IMAGE", "type": "IMAGE", "links": [link]}]);
    let taken = |name: &str, link: u32| json!([{"name": name, "type": "IMAGE", "link": link}]);
    json!({
        "nodes": [
            {"id": 1, "type": "LoadImage", "inputs": [], "outputs": links(1), "widgets_values": ["photo.png", "image"]},
            {"id": 2, "type": "ImageInvert", "inputs": taken("image", 1), "outputs": links(2)},
            {"id": 3, "type": "SaveImage", "inputs": taken("images", 2), "outputs": [], "widgets_values": ["inverted"]},
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
        "version": 0.4,
    })
    .to_string()
}

fn files(ending: &str, bytes: Vec<u8>) -> BTreeMap<String, String> {
    let template =
        Template { path: "a/b".to_owned(), file: format!("a/b.{ending}"), bytes, sidecar: None, lock: None };
    let generated = generate(&[template], Catalog::core()).unwrap_or_else(|found| panic!("{found:#?}"));
    generated.files
}

#[test]
fn each_kind_of_file_gives_the_code_of_the_workflow_it_holds() {
    for (key, text) in [("prompt", prompt()), ("workflow", workflow())] {
        let expected = files("json", text.clone().into_bytes());
        assert!(expected["a/b.rs"].contains("ImageInvert"), "{}", expected["a/b.rs"]);
        for container in CONTAINERS {
            let found = files(container.ending, (container.make)(&[(key, &text)]));
            assert_eq!(found, expected, "{} with a {key}", container.name);
        }
    }
}

#[test]
#[ignore = "runs cargo on the `generated` crate; run with `--ignored`"]
fn a_folder_of_saved_files_builds_and_a_broken_one_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str, ending: &str| folder.path().join(format!("{}.{ending}", name.replace('-', "_")));
    for container in CONTAINERS {
        let bytes = (container.make)(&[("prompt", &prompt()), ("workflow", &workflow())]);
        fs::write(at(container.name, container.ending), bytes).expect("a file");
    }
    let output = cargo::check(folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    for container in CONTAINERS {
        let bytes = (container.make)(&[("prompt", &prompt())]);
        fs::write(at(container.name, container.ending), &bytes[..bytes.len() / 2]).expect("a file");
    }
    let output = cargo::check(folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for container in CONTAINERS {
        let file = at(container.name, container.ending);
        assert!(said.contains(&format!("--> {}", file.display())), "{}: {said}", file.display());
    }
    assert!(
        said.contains(&format!("{} errors in", CONTAINERS.len())) && !said.contains("panicked"),
        "{said}"
    );
    assert!(said.contains("Export (API)"), "{said}");
}
