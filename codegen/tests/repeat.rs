//! The same workflows give the same bytes in every process, wherever the folder lies, in whatever order its files were
//! written, and whatever the language and the time zone.
//!
//! Three processes by default, `REPEAT` of them if that is set. `WORKFLOW_CORPUS` names a folder of real workflows,
//! which are looked at besides the bundled ones.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use comfyport_codegen::{Template, generate};
use comfyport_workflow::{Catalog, Options, Sidecar, endpoint, openapi};

#[test]
fn processes_agree() {
    let runs = env::var("REPEAT").map_or(3, |runs| runs.parse().expect("a number"));
    let scratch = tempfile::tempdir().unwrap();
    let mut files = originals();
    let mut processes = Vec::new();
    for run in 0..runs {
        // Folders list their files in an order that depends on when they were written and on what they are called.
        let count = files.len();
        files.rotate_left(run * 7 % count);
        let folder = scratch.path().join(format!("{}{run}", "x".repeat(run)));
        for (name, bytes) in &files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let out = scratch.path().join(format!("out {run}"));
        let language = ["C", "C.UTF-8", "tr_TR.UTF-8", "de_DE.UTF-8"][run % 4];
        let process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "one_process", "--ignored", "--test-threads=1"])
            .env("REPEAT_FOLDER", &folder)
            .env("REPEAT_OUT", &out)
            .envs([("LC_ALL", language), ("LANG", language)])
            .env("TZ", ["UTC", "Asia/Kathmandu", "America/St_Johns"][run % 3])
            .current_dir(if run % 2 == 0 { scratch.path() } else { Path::new("/") })
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        processes.push((process, out));
    }
    let mut first: Option<Vec<u8>> = None;
    for (run, (process, out)) in processes.into_iter().enumerate() {
        let ended = process.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        let written = fs::read(out).unwrap();
        assert!(written.len() > 100_000, "{} bytes", written.len());
        match &first {
            None => first = Some(written),
            Some(first) => assert!(*first == written, "run {run} differs"),
        }
    }
}

/// Bundled and real workflows with the files beside them, by where they are to be put.
fn originals() -> Vec<(String, Vec<u8>)> {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflow_templates");
    let mut files = Vec::new();
    collect(&bundled, "bundled", &mut files);
    if let Some(corpus) = env::var_os("WORKFLOW_CORPUS") {
        for folder in ["api", "ui"] {
            collect(&PathBuf::from(&corpus).join(folder), folder, &mut files);
        }
    }
    files
}

fn collect(folder: &Path, name: &str, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = format!("{name}/{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            collect(&path, &name, files);
        } else {
            files.push((name, fs::read(&path).unwrap()));
        }
    }
}

/// What one process makes of the folder: for each workflow what `comfyport check --format json` prints, the OpenAPI
/// fragment and the code; and the code of all bundled ones together.
#[test]
#[ignore = "a part of `processes_agree`"]
fn one_process() {
    let folder = PathBuf::from(env::var_os("REPEAT_FOLDER").expect("run by `processes_agree`"));
    let catalog = &support::catalog(&folder);
    let mut templates = support::templates(&folder);
    let mut written: BTreeMap<String, String> =
        templates.iter().map(|one| (one.file.clone(), all_of(one, catalog))).collect();
    templates.retain(|template| template.path.starts_with("bundled/"));
    let generated = generate(&templates, catalog).expect("bundled workflows are fine");
    written.extend(generated.files);
    fs::write(env::var_os("REPEAT_OUT").unwrap(), format!("{written:#?}")).unwrap();
}

fn all_of(template: &Template, catalog: &Catalog) -> String {
    let sidecar = template.sidecar.as_deref().map(|text| Sidecar::parse(text).unwrap());
    let options = Options {
        file: &template.file,
        path: &template.path,
        catalog,
        sidecar: sidecar.as_ref(),
        lock: None,
    };
    match endpoint(&template.bytes, &options) {
        Ok(endpoint) => {
            let report = serde_json::to_string(&endpoint).unwrap();
            let code = generate(std::slice::from_ref(template), catalog);
            format!("{report}\n{}\n{:?}", openapi::fragment(&endpoint, "id"), code.map(|code| code.files))
        }
        Err(found) => format!("{found:?}"),
    }
}
