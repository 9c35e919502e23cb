//! Real exported workflows. They carry other people's licences and are not part of this repository: the environment
//! variable `WORKFLOW_CORPUS` names a folder with `api/`, `edge/` and, if at hand, `ui/` with what the editor saves.
//! Without it these tests say so and pass.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use comfyport_workflow::{
    Catalog, Diagnostic, Endpoint, Options, ParamType, Tier, catalog::InputKind, endpoint, graph::Input, read,
};

fn corpus(folder: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let Some(root) = std::env::var_os("WORKFLOW_CORPUS") else {
        eprintln!("left out: WORKFLOW_CORPUS is not set");
        return None;
    };
    let Ok(entries) = fs::read_dir(PathBuf::from(root).join(folder)) else {
        eprintln!("left out: WORKFLOW_CORPUS has no {folder}/");
        return None;
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let json = files.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    Some(
        json.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
            .collect(),
    )
}

fn infer(name: &str, bytes: &[u8]) -> Result<Endpoint, Vec<Diagnostic>> {
    let options = Options { file: name, path: name, catalog: Catalog::core(), sidecar: None, lock: None };
    endpoint(bytes, &options)
}

/// A text that feeds an input called `positive` through conditioning nodes, found the simple way: directly linked.
fn has_direct_positive_text(bytes: &[u8]) -> bool {
    let Ok(source) = read(bytes) else { return false };
    source.graph.nodes.values().any(|node| {
        node.inputs.iter().any(|(name, input)| {
            let Input::Link(link) = input else { return false };
            let encoder = source.graph.node(&link.node);
            name == "positive"
                && encoder.is_some_and(|encoder| {
                    encoder.class_type == "CLIPTextEncode"
                        && encoder.literal("text").is_some_and(|text| text.as_str().is_some())
                })
        })
    })
}

/// How many numbers get the type of ComfyUI's definitions, and how many another one, where those are not at hand.
fn types_without_definitions(name: &str, bytes: &[u8]) -> (usize, usize) {
    let nothing = Catalog::default();
    let options = Options { file: name, path: name, catalog: &nothing, sidecar: None, lock: None };
    let Ok(endpoint) = endpoint(bytes, &options) else { return (0, 0) };
    let (mut right, mut wrong) = (0, 0);
    for param in &endpoint.params {
        for binding in param.sets() {
            let node = endpoint.graph.node(&binding.node);
            let is_number = node
                .and_then(|node| node.literal(&binding.input))
                .is_some_and(|value| value.as_number().is_some());
            let class = node.and_then(|node| Catalog::core().get(&node.class_type));
            let fits = match class.and_then(|class| class.input(&binding.input)).map(|input| &input.kind) {
                Some(InputKind::Int) => matches!(param.ty, ParamType::Integer | ParamType::Seed),
                Some(InputKind::Float) => param.ty == ParamType::Number,
                _ => continue,
            };
            if is_number {
                right += usize::from(fits);
                wrong += usize::from(!fits);
            }
        }
    }
    (right, wrong)
}

#[test]
fn every_workflow_is_understood_or_refused_with_a_reason() {
    let Some(files) = corpus("api") else { return };
    let (mut refused, mut prompts, mut expected, mut missed) = (BTreeMap::new(), 0, 0, Vec::new());
    let mut derived = 0;
    let (mut one_prompt, mut typed, mut mistyped) = (0, 0, 0);
    let (mut ordinals, mut primary, mut outputs, mut unknown_folder, mut models) =
        (Vec::new(), Vec::new(), 0, 0, 0);
    for (name, bytes) in &files {
        let endpoint = match infer(name, bytes) {
            Ok(endpoint) => endpoint,
            Err(diagnostics) => {
                assert!(diagnostics.iter().any(Diagnostic::is_error), "{name}");
                *refused.entry(diagnostics[0].code).or_insert(0) += 1;
                continue;
            }
        };
        comfyport_workflow::report(&endpoint);
        serde_json::to_string(&endpoint).unwrap();
        let has_prompt = endpoint.params.iter().any(|param| param.role.as_deref() == Some("prompt"));
        prompts += usize::from(has_prompt);
        let of_prompt = endpoint.params.iter().filter(|param| param.role.as_deref() == Some("prompt"));
        one_prompt += usize::from(of_prompt.count() == 1);
        let (right, wrong) = types_without_definitions(name, bytes);
        (typed, mistyped) = (typed + right + wrong, mistyped + wrong);
        if has_direct_positive_text(bytes) {
            expected += 1;
            if !has_prompt && endpoint.is_usable() {
                missed.push(name.clone());
            }
        }
        let names: Vec<&str> = endpoint.tier(Tier::Primary).map(|param| param.name.as_str()).collect();
        let inferred = endpoint.tier(Tier::Primary).filter(|param| param.derived.is_none()).count();
        primary.push(inferred);
        derived += names.len() - inferred;
        let ordinal = |name: &&str| {
            name.rsplit_once('_').is_some_and(|(_, tail)| tail.len() < 3 && tail.parse::<u32>().is_ok())
        };
        if names.iter().any(ordinal) {
            ordinals.push(name.clone());
        }
        outputs += usize::from(!endpoint.outputs.is_empty());
        models += endpoint.models.len();
        unknown_folder += endpoint.models.iter().filter(|model| model.folder == "unknown").count();
        for param in endpoint.params.iter().filter(|param| param.tier != Tier::Hidden) {
            assert!(!param.bindings.is_empty() && !param.name.is_empty(), "{name}");
            assert!(!(param.required && param.ty == ParamType::Seed), "{name}: seeds are never required");
        }
    }
    primary.sort_unstable();
    let share = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    eprintln!(
        "{} workflows: {} refused {refused:?}; outputs found in {outputs}; a prompt in {prompts}, missed where one is \
         certain {} of {expected}, exactly one in {one_prompt}; median primary parameters {}, and {derived} derived ones in all; with an ordinal {} ({:.1} %); models {models}, folder \
         known for {:.1} %; numbers of the right type without definitions {:.2} % of {typed}",
        files.len(),
        refused.values().sum::<i32>(),
        missed.len(),
        primary[primary.len() / 2],
        ordinals.len(),
        share(ordinals.len(), files.len()),
        100.0 - share(unknown_folder, models),
        100.0 - share(mistyped, typed),
    );
    assert!(missed.is_empty(), "no prompt in {missed:#?}");
}

#[test]
fn odd_files_get_what_they_deserve() {
    let Some(files) = corpus("edge") else { return };
    let files: BTreeMap<String, Vec<u8>> = files.into_iter().collect();
    let outcome = |prefix: &str| {
        let (name, bytes) = files.range(prefix.to_owned()..).next().unwrap();
        assert!(name.starts_with(prefix), "no file {prefix}");
        infer(name, bytes)
    };
    let usable = |prefix: &str| {
        let endpoint = outcome(prefix).unwrap_or_else(|found| panic!("{prefix}: {found:?}"));
        assert!(endpoint.is_usable(), "{prefix}: {:?}", endpoint.diagnostics);
        endpoint
    };
    for fine in [
        "00", "02", "04", "06", "08", "10", "12", "14", "16", "18", "22", "24", "28", "30", "38", "42", "44",
        "48",
    ] {
        usable(fine);
    }
    let codes = |prefix: &str| -> Vec<&'static str> {
        outcome(prefix).unwrap_err().iter().map(|found| found.code).collect()
    };
    assert_eq!(codes("20"), ["dangling-link"]);
    assert_eq!(codes("26")[0], "missing-class");
    // What the editor saves, with no node in it.
    let empty = outcome("32").unwrap();
    assert_eq!(empty.diagnostics.iter().map(|found| found.code).collect::<Vec<_>>(), ["no-outputs"]);
    assert_eq!(codes("40"), ["invalid-json"]);
    assert_eq!(codes("46"), ["invalid-json"]);
    assert!(usable("34").diagnostics.iter().any(|found| found.code == "duplicate-key"));
    let names = usable("36");
    let mut unique: Vec<(Tier, &str)> = names
        .params
        .iter()
        .filter(|param| param.tier <= Tier::Advanced)
        .map(|param| (param.tier, param.name.as_str()))
        .collect();
    let count = unique.len();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), count, "names are unique");
    let exact = usable("08");
    let literal = exact.graph.nodes.values().find_map(|node| node.literal("seed")).unwrap().to_json();
    assert!(literal.parse::<u64>().unwrap() > i64::MAX as u64, "{literal}");
    let steps = usable("42");
    let steps = steps.params.iter().find(|param| param.name == "steps").unwrap();
    assert_eq!(steps.ty, ParamType::Integer);
}

#[test]
fn saved_workflows_are_converted_or_refused_with_a_reason() {
    let Some(files) = corpus("ui") else { return };
    let (mut usable, mut refused) = (0, BTreeMap::new());
    for (name, bytes) in &files {
        match infer(name, bytes) {
            Ok(endpoint) => usable += usize::from(endpoint.is_usable()),
            Err(diagnostics) => {
                let error = diagnostics.iter().find(|found| found.is_error());
                *refused.entry(error.unwrap_or_else(|| panic!("{name}: no reason")).code).or_insert(0) += 1;
            }
        }
        for cut in (0..bytes.len()).step_by(bytes.len() / 9 + 1) {
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0x15;
            drop(infer(name, &flipped));
        }
    }
    eprintln!("{} saved workflows: {usable} usable; refused {refused:?}", files.len());
}

#[test]
fn mutilated_workflows_never_panic() {
    let Some(files) = corpus("edge") else { return };
    for (name, bytes) in &files {
        for cut in (0..bytes.len()).step_by(37) {
            drop(infer(name, &bytes[..cut]));
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0x15;
            drop(infer(name, &flipped));
        }
    }
}
