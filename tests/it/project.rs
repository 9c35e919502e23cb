//! Projects of one's own: made, filled, built and served.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::json;
use tempfile::TempDir;

use crate::process::{Comfyport, command, picture_of, repository, run};

/// A folder with an empty project in it.
fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = command(&["new", "my-api"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    folder
}

/// Everything it said.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Adds a file from below the project's folder, which must end with this code.
fn add(project: &TempDir, arguments: &[&str], code: i32) -> String {
    let here = project.path().join("my-api/src");
    let output = command(&["add"]).args(arguments).current_dir(here).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

fn template(project: &TempDir, name: &str) -> PathBuf {
    project.path().join("my-api/workflow_templates").join(name)
}

#[test]
fn a_new_project_depends_on_the_release_that_made_it_or_on_sources() {
    let folder = project();
    let manifest = fs::read_to_string(folder.path().join("my-api/Cargo.toml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for line in [format!("comfyport-server = \"{version}\""), "name = \"my-api\"".to_owned()] {
        assert!(manifest.contains(&line), "no `{line}` in\n{manifest}");
    }
    let example = run(&["check", template(&folder, "txt2img.json").to_str().unwrap()]);
    assert_eq!(example.status.code(), Some(0), "{}", said(&example));
    assert!(!said(&example).contains("warning"), "{}", said(&example));

    // What is there is not overwritten.
    let again = command(&["new", "my-api"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(said(&again).contains("not empty"), "{}", said(&again));

    let elsewhere = folder.path().join("elsewhere");
    let lost = run(&["new", elsewhere.to_str().unwrap(), "--path", folder.path().to_str().unwrap()]);
    assert_eq!(lost.status.code(), Some(2));
    assert!(said(&lost).contains("folder of comfyport's sources"), "{}", said(&lost));
    assert!(!elsewhere.exists());
}

/// What works on every pixel is as fast in a project of one's own as it is here.
#[test]
fn a_new_project_optimises_what_this_workspace_does() {
    let optimised = |manifest: &str| -> BTreeSet<String> {
        let packages = manifest.split_once("\n[profile.dev.package]\n").unwrap().1;
        let lines = packages.lines().take_while(|line| !line.is_empty());
        let lines = lines.filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split_once(" = ").unwrap().0.to_owned()).collect()
    };
    let folder = project();
    let theirs = optimised(&fs::read_to_string(folder.path().join("my-api/Cargo.toml")).unwrap());
    let mut ours = optimised(&fs::read_to_string(repository("Cargo.toml")).unwrap());
    // These make the keys that tests sign tokens with.
    for of_tests in ["num-bigint-dig", "rsa"] {
        assert!(ours.remove(of_tests), "{of_tests}");
    }
    assert!(theirs.contains("image"), "{theirs:?}");
    assert_eq!(theirs, ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_are_added_whatever_file_holds_them() {
    let folder = project();
    let export = repository("workflow_templates/image/resize.json");
    let report = add(&folder, &[&export, "--name", "own/shrink"], 0);
    assert!(report.contains("own/shrink") && report.contains("image"), "{report}");
    assert_eq!(fs::read(template(&folder, "own/shrink.json")).unwrap(), fs::read(&export).unwrap());

    let picture = folder.path().join("A Fox (2).png");
    fs::write(&picture, picture_of("sd15/txt2img").await).unwrap();
    let report = add(&folder, &[picture.to_str().unwrap()], 0);
    assert!(report.contains("prompt"), "{report}");
    let text = fs::read_to_string(template(&folder, "a_fox_2.json")).unwrap();
    assert!(text.starts_with('{') && text.contains("KSampler"));
}

#[test]
fn what_is_there_is_not_replaced_unless_told() {
    let folder = project();
    let export = repository("workflow_templates/image/resize.json");
    let before = fs::read(template(&folder, "txt2img.json")).unwrap();
    let refusal = add(&folder, &[&export, "--name", "txt2img"], 2);
    assert!(refusal.contains("--force") && refusal.contains("--name"), "{refusal}");
    assert_eq!(fs::read(template(&folder, "txt2img.json")).unwrap(), before);
    // The sidecar of the example speaks of a node that the other workflow does not have.
    let report = add(&folder, &[&export, "--name", "txt2img", "--force"], 1);
    assert!(report.contains("5.steps"), "{report}");
    assert_eq!(fs::read(template(&folder, "txt2img.json")).unwrap(), fs::read(&export).unwrap());
}

#[test]
fn what_the_next_build_would_refuse_is_not_added() {
    let folder = project();
    let export = repository("workflow_templates/image/resize.json");
    for (name, word) in [
        ("jobs/x", "--name my_jobs/x"),
        ("../x", "--name x`"),
        ("a b", "--name a_b"),
        ("//", "--name my_workflow"),
        ("txt2img.", "--name txt2img_b"),
        ("TXT2IMG", "--name txt2img_b"),
    ] {
        let refusal = add(&folder, &[&export, "--name", name], 2);
        assert!(refusal.contains(word), "{name}: {refusal}");
    }
    fs::write(template(&folder, "twin.png"), "").unwrap();
    let refusal = add(&folder, &[&export, "--name", "twin"], 2);
    assert!(refusal.contains("twin.png"), "{refusal}");

    let odd = folder.path().join("odd.json");
    fs::write(&odd, "{}").unwrap();
    let report = add(&folder, &[odd.to_str().unwrap()], 1);
    assert!(report.contains("no-graph") && report.contains("nothing was added"), "{report}");
    assert!(!template(&folder, "odd.json").exists());
    let missing = add(&folder, &["/nowhere/at/all.json"], 2);
    assert!(missing.contains("/nowhere/at/all.json"), "{missing}");

    let outside = tempfile::tempdir().unwrap();
    let lost = command(&["add", &export]).current_dir(outside.path()).output().unwrap();
    assert_eq!(lost.status.code(), Some(2));
    assert!(said(&lost).contains("comfyport new"), "{}", said(&lost));
}

/// Builds a project as one file, without a network, with what other builds left behind.
pub(crate) fn build(project: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_comfyport")).ancestors().nth(2).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo says of the package of this test would have build scripts run again that look at it.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    let built = command
        .args(["build", "--offline", "--config", &repository(".cargo/static.toml")])
        // What was compiled for this workspace will do: nothing is proved by how fast the generator runs.
        .args(["--config", "profile.dev.build-override.opt-level=0"])
        .current_dir(project)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", said(&built));
    // Those of the workflows are named `own-project@0.1.0: txt2img.json: …`.
    let said = said(&built);
    let mut warnings = said.lines().filter(|line| line.starts_with("warning") && !line.contains("@0.1.0: "));
    assert_eq!(warnings.next(), None, "{said}");
    let program = Path::new("debug").join(project.file_name().unwrap());
    let folders = fs::read_dir(target).unwrap().map(|folder| folder.unwrap().path());
    folders.map(|folder| folder.join(&program)).find(|program| program.is_file()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds all of comfyport once more; `.ci/run` asks for it"]
async fn a_new_project_builds_offline_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own-project");
    let made = run(&["new", own.to_str().unwrap(), "--path", &repository("")]);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    let server = Comfyport::simulated_of(&build(&own), &[]);
    let result = server.call("/txt2img", &json!({"prompt": "a fox", "steps": 3}), 200).await;
    assert_eq!(result["outputs"]["image"][0]["width"], 512, "{result}");
    server.call("/txt2img", &json!({"prompt": "a fox", "steps": 61}), 422).await;
    server.read("/sd15/txt2img", 404).await;

    // One more workflow, and the next build has it.
    let export = repository("workflow_templates/image/resize.json");
    let added = command(&["add", &export, "--name", "own/shrink"]).current_dir(&own).output().unwrap();
    assert_eq!(added.status.code(), Some(0), "{}", said(&added));
    let server = Comfyport::simulated_of(&build(&own), &[]);
    let paths = server.read("/openapi.json", 200).await.json();
    assert!(paths["paths"]["/own/shrink"].is_object() && paths["paths"]["/txt2img"].is_object());
}
