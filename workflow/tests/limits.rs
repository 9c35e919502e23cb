//! Workflows that nobody draws are refused in words, and soon.

#![allow(clippy::unwrap_used, missing_docs)]

use comfyport_workflow::{Catalog, Endpoint, Options, endpoint};

fn inferred(nodes: &[String]) -> Endpoint {
    let text = format!("{{{}}}", nodes.join(","));
    let options = Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
    endpoint(text.as_bytes(), &options).unwrap()
}

fn errors(endpoint: &Endpoint) -> Vec<(&'static str, &str)> {
    let errors = endpoint.diagnostics.iter().filter(|found| found.is_error());
    errors.map(|found| (found.code, found.message.as_str())).collect()
}

const SAVE: &str = r#""save":{"class_type":"SaveImage","inputs":{"images":["0",0]}}"#;

fn chain(class: &str, count: usize) -> Vec<String> {
    let node = |id: usize| {
        let input = if id + 1 < count { format!(r#""image":["{}",0]"#, id + 1) } else { String::new() };
        format!(r#""{id}":{{"class_type":"{class}","inputs":{{{input}}}}}"#)
    };
    (0..count).map(node).chain([SAVE.to_owned()]).collect()
}

#[test]
fn too_many_nodes_are_refused() {
    let most = inferred(&chain("ImageInvert", 9_999));
    assert_eq!(errors(&most), []);
    assert_eq!(most.graph.nodes.len(), 10_000);
    let more = inferred(&chain("ImageInvert", 10_000));
    assert_eq!(errors(&more), [("too-large", "this workflow has 10001 nodes; one endpoint may have 10000")]);
}

#[test]
fn too_many_values_are_refused() {
    // Its class wants two values, which are filled in.
    let most = inferred(&chain("ImageBlur", 1_400));
    assert_eq!(errors(&most), []);
    let more = inferred(&chain("ImageBlur", 1_500));
    assert_eq!(
        errors(&more),
        [("too-large", "this workflow has 3001 values to set; one endpoint may have 3000")]
    );
    let filled = more.diagnostics.iter().filter(|found| found.code == "filled-input").count();
    assert_eq!(filled, 200);
    assert!(more.diagnostics.iter().any(|found| found.code == "more"));
}

#[test]
fn too_many_results_are_refused() {
    let results = |count: usize| -> Vec<String> {
        let source = r#""0":{"class_type":"LoadImage","inputs":{"image":"a.png"}}"#.to_owned();
        let save = |id| format!(r#""s{id}":{{"class_type":"SaveImage","inputs":{{"images":["0",0]}}}}"#);
        (0..count).map(save).chain([source]).collect()
    };
    assert_eq!(errors(&inferred(&results(300))), []);
    assert_eq!(
        errors(&inferred(&results(301))),
        [("too-large", "this workflow has 301 results; one endpoint may have 300")]
    );
}
