//! What is needed, and who says so.

use std::collections::BTreeMap;

use comfyport_needs::{Difference, Evidence, ModelList, ProjectLock, manager::ManagerModels};

use crate::{graph, needs, understood};

#[test]
fn models_of_several_workflows_come_together_with_those_who_need_them() {
    let sidecar = r#"
        [models."b.safetensors"]
        url = "https://a.example/b"
        sha256 = "aa00000000000000000000000000000000000000000000000000000000000000"
    "#;
    let both = [
        understood("one", &graph("b.safetensors", "ImageInvert"), sidecar),
        understood("two", &graph("b.safetensors", "ImageInvert"), ""),
    ];
    let needs = needs(&both);
    let names: Vec<String> =
        needs.models.iter().map(|model| format!("{}/{}", model.folder, model.file)).collect();
    assert_eq!(names, ["checkpoints/b.safetensors", "embeddings/easynegative"]);
    let checkpoint = &needs.models[0];
    assert_eq!(checkpoint.workflows(), ["one", "two"]);
    assert_eq!((checkpoint.sources.len(), checkpoint.sources[0].evidence), (1, Evidence::Workflow));
    assert!(checkpoint.sha256.as_deref().is_some_and(|hash| hash.starts_with("aa")));
    assert_eq!(needs.sourceless().count(), 1, "the embedding");
    assert!(needs.packs.is_empty() && needs.unresolved.is_empty());
}

#[test]
fn sources_are_in_the_order_of_their_nearness() {
    let mut needs = needs(&[understood("one", &graph("b.safetensors", "ImageInvert"), "")]);
    let list = ModelList::parse(
        r#"
        [[model]]
        file = "b.safetensors"
        urls = ["https://project.example/b"]
        size = 7
        "#,
    )
    .unwrap();
    let manager = ManagerModels::parse(
        br#"{"models": [
            {"type": "checkpoint", "save_path": "default", "filename": "b.safetensors", "url": "https://manager.example/b"},
            {"type": "embedding", "save_path": "default", "filename": "easynegative", "url": "https://manager.example/e"}
        ]}"#,
    )
    .unwrap();
    needs.learn_list(&list);
    needs.learn_manager(&manager);
    let of = |index: usize| -> Vec<(&str, Evidence)> {
        needs.models[index].sources.iter().map(|source| (source.url.as_str(), source.evidence)).collect()
    };
    assert_eq!(of(0), [("https://project.example/b", Evidence::Project)], "what is known is not guessed at");
    assert_eq!(of(1), [("https://manager.example/e", Evidence::Manager)]);
    assert_eq!(needs.models[0].size, Some(7));
}

#[test]
fn licences_bind_until_somebody_says_that_they_are_kept() {
    let flux = "flux1-dev-fp8.safetensors";
    let graph = graph(flux, "ImageInvert");
    let strict = needs(&[understood("one", &graph, "")]);
    let licence = strict.models.iter().find_map(|model| model.licence.as_ref()).unwrap();
    assert!(licence.name.starts_with("FLUX.1 [dev]") && !licence.accepted);
    let accepting = format!("[models.\"{flux}\"]\nlicence_accepted = true");
    let accepted = needs(&[understood("one", &graph, &accepting)]);
    assert!(accepted.models.iter().find_map(|model| model.licence.as_ref()).unwrap().accepted);
}

#[test]
fn one_of_several_packs_is_a_guess_until_somebody_decides() {
    // Two packs at least have it, with nothing else in the graph that tells.
    let graph = graph("b.safetensors", "ImageResize+");
    let endpoint = understood("one", &graph, "");
    let mut guessed = needs(std::slice::from_ref(&endpoint));
    assert!(guessed.packs[0].is_ambiguous(), "another example is needed: {:?}", guessed.packs);
    let chosen = guessed.packs[0].repository.clone().unwrap();
    let other = guessed.packs[0].candidates[0].clone();
    let decided = understood(
        "one",
        &graph,
        &format!(
            "[node_packs.other]\nrepository = {other:?}\nversion = \"1.0.0\"\nclasses = [\"ImageResize+\"]"
        ),
    );
    let settled = needs(&[decided]);
    assert_eq!((settled.packs.len(), settled.packs[0].is_ambiguous()), (1, false));
    assert_eq!(settled.packs[0].repository.as_deref(), Some(other.as_str()));
    assert_eq!(settled.packs[0].version.as_deref(), Some("1.0.0"));

    // What is locked for it was decided before.
    let lock = ProjectLock::default().updated(&settled);
    let mut again = needs(std::slice::from_ref(&endpoint));
    again.learn_lock(&ProjectLock::default());
    assert!(again.packs[0].is_ambiguous());
    again.learn_lock(&lock);
    assert_eq!(again.packs[0].repository.as_deref(), Some(other.as_str()));
    assert!(!again.packs[0].is_ambiguous() && lock.compare(&again).iter().all(Difference::is_loose));

    // An engine that has it knows from where.
    let folders = BTreeMap::from([("somewhere".to_owned(), chosen.clone())]);
    guessed.learn_modules(|class| (class == "ImageResize+").then_some("custom_nodes.somewhere"), &folders);
    assert!(!guessed.packs[0].is_ambiguous());
    assert_eq!(guessed.packs[0].repository.as_deref(), Some(chosen.as_str()));
    assert!(guessed.packs[0].evidence.contains("custom_nodes/somewhere"), "{:?}", guessed.packs[0]);
}

#[test]
fn classes_that_nobody_has_are_listed() {
    let needs = needs(&[understood("one", &graph("b.safetensors", "NobodyHasThisNode9"), "")]);
    assert!(needs.unresolved["NobodyHasThisNode9"].contains("one"));
}

#[test]
fn what_packs_fetch_by_themselves_is_told() {
    let needs = needs(&[understood("one", &graph("b.safetensors", "OpenposePreprocessor"), "")]);
    let hidden: Vec<_> = needs.models.iter().filter(|model| model.fetched_by_node).collect();
    assert!(hidden.iter().any(|model| model.name() == "body_pose_model.pth"), "{:?}", needs.models);
    assert!(hidden.iter().all(|model| model.workflows() == ["one"]));
}
