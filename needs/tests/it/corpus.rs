//! Real workflows, where there are some: how much of what they need is known.

use std::{env, fs, path::Path};

use comfyport_needs::Needs;
use comfyport_workflow::{Catalog, Options, WORKFLOW_ENDINGS, endpoint, open};

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path
            .extension()
            .is_some_and(|ending| WORKFLOW_ENDINGS.contains(&&*ending.to_string_lossy()))
        {
            found.push(path);
        }
    }
}

#[test]
fn most_of_what_real_workflows_need_is_known() {
    let Some(corpus) = env::var_os("WORKFLOW_CORPUS") else {
        println!("left out: WORKFLOW_CORPUS names no folder of workflows");
        return;
    };
    let mut found = Vec::new();
    files(Path::new(&corpus), &mut found);
    let mut endpoints = Vec::new();
    for file in &found {
        let bytes = fs::read(file).unwrap();
        let bytes = open(&bytes).map_or(bytes.clone(), |graph| graph.to_vec());
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let options =
            Options { file: &name, path: &name, catalog: Catalog::core(), sidecar: None, lock: None };
        endpoints.extend(endpoint(&bytes, &options));
    }
    let mut seen: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let (mut models, mut placed, mut classes, mut surely, mut guessed, mut unknown) = (0, 0, 0, 0, 0, 0);
    for one in &endpoints {
        let needs = Needs::of([one]);
        let asked = needs.models.iter().filter(|model| !model.uses[0].node.is_empty());
        models += asked.clone().count();
        placed += asked.filter(|model| model.folder != "unknown").count();
        for pack in &needs.packs {
            classes += pack.classes.len();
            guessed += pack.doubtful.len();
            surely += pack.classes.len() - pack.doubtful.len();
            for class in &pack.doubtful {
                *seen.entry(format!("several: {class}")).or_default() += 1;
            }
        }
        for class in needs.unresolved.keys() {
            *seen.entry(format!("none: {class}")).or_default() += 1;
        }
        classes += needs.unresolved.len();
        unknown += needs.unresolved.len();
    }
    let mut seen: Vec<_> = seen.into_iter().collect();
    seen.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (class, count) in seen.iter().take(10) {
        println!("  {count:>3} {class}");
    }
    let share = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    println!(
        "{} workflows: {models} models, folder and name known of {:.1} %",
        endpoints.len(),
        share(placed, models)
    );
    println!(
        "{classes} classes of packs: one pack {:.1} %, several {:.1} %, none {:.1} %",
        share(surely, classes),
        share(guessed, classes),
        share(unknown, classes)
    );
    assert!(share(placed, models) > 95.0 && share(unknown, classes) < 20.0);
}
