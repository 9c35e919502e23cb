//! Workflows as the editor saves them, each with what the editor submits for it.
//!
//! `ui/` holds the saved form, `ui/api/` the submitted one. Where both are of ComfyUI's own classes they were compared
//! with ComfyUI's editor.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use comfyport_workflow::{
    Catalog, Diagnostic, Endpoint, Options, Tier, endpoint,
    json::{Number, Object, Value, parse},
    read,
    ui::{Converted, Wish, convert},
};
use proptest::prelude::*;

fn folder(name: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    files
        .map(|path| {
            (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn saved(text: &str) -> Value {
    parse(text.as_bytes()).unwrap().value
}

fn converted(text: &str) -> Converted {
    convert(&saved(text), Catalog::core())
}

fn codes(text: &str) -> Vec<&'static str> {
    converted(text).diagnostics.iter().map(|found| found.code).collect()
}

fn inferred(text: &str) -> Result<Endpoint, Vec<Diagnostic>> {
    let options = Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
    endpoint(text.as_bytes(), &options)
}

#[test]
fn every_file_becomes_what_the_editor_submits() {
    let expected = folder("ui/api");
    let files = folder("ui");
    assert_eq!(files.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, text) in &files {
        let converted = converted(text);
        let errors: Vec<&Diagnostic> =
            converted.diagnostics.iter().filter(|found| found.is_error()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        assert_eq!(Value::Object(converted.graph).to_json(), saved(&expected[name]).to_json(), "{name}");
    }
}

#[test]
fn an_endpoint_offers_what_the_author_offers() {
    let text = &folder("ui")["author"];
    let facts = converted(text).facts;
    assert_eq!(facts.declarations[0].wish, Wish::App);
    assert_eq!(facts.declarations[0].inputs, [("9".to_owned(), "strength".to_owned())]);
    assert_eq!(facts.outputs, ["10"]);
    let endpoint = inferred(text).unwrap();
    let param = |name: &str| endpoint.params.iter().find(|param| param.name == name).unwrap();
    for (name, bindings) in [("prompt", 1), ("quality", 1), ("size", 2), ("strength", 1)] {
        assert_eq!((param(name).tier, param(name).bindings.len()), (Tier::Primary, bindings), "{name}");
    }
    assert_eq!(param("strength").description.as_deref(), Some("How much to blur."));
    assert_eq!(param("ckpt_name").tier, Tier::Model);
    let outputs: Vec<&str> = endpoint.outputs.iter().map(|output| output.node.as_str()).collect();
    assert_eq!(outputs, ["10"]);
    let model = &endpoint.models[0];
    assert_eq!(model.url.as_deref(), Some("https://example.org/model.safetensors"));
    assert_eq!(model.sha256.as_deref(), Some("ab".repeat(32).as_str()));
    let pack = &endpoint.node_packs[0];
    assert_eq!(
        (pack.id.as_str(), pack.repository.as_deref()),
        ("some-blur", Some("https://github.com/somebody/some-blur"))
    );
}

#[test]
fn what_nodes_say_of_their_pack_becomes_a_fact() {
    let facts = converted(&folder("ui")["author"]).facts;
    let blur = facts.packs.iter().find(|pack| pack.class_type == "Some Blur").unwrap();
    assert_eq!(blur.registry_id.as_deref(), Some("some-blur"));
    assert_eq!(blur.repository.as_deref(), Some("somebody/some-blur"));
    assert_eq!(blur.version.as_deref(), Some("1.2.0"));
}

/// The bends of a line are for the eye: what a line joins stands in the link.
#[test]
fn bends_in_links_change_nothing() {
    let files = folder("ui");
    let plain = converted(&files["version_1"]).graph;
    let bent = files["version_1"].replacen(
        r#""target_slot": 0, "type": "IMAGE"}"#,
        r#""target_slot": 0, "type": "IMAGE", "parentId": 2}"#,
        2,
    );
    let bends = r#""reroutes": [{"id": 1, "pos": [1, 2], "linkIds": [1, 2]}, {"id": 2, "parentId": 1, "pos": [3, 4],
        "linkIds": [1], "floating": {"slotType": "output"}}],
        "floatingLinks": [{"id": 9, "origin_id": 1, "origin_slot": 0, "target_id": -1, "target_slot": -1,
        "type": "IMAGE", "parentId": 2}], "groups": []"#;
    let bent = bent.replacen(r#""groups": []"#, bends, 1);
    assert!(bent.contains("parentId\": 2}") && bent.contains("floatingLinks"));
    let bent = converted(&bent);
    assert!(bent.diagnostics.is_empty(), "{:?}", bent.diagnostics);
    assert_eq!(Value::Object(bent.graph), Value::Object(plain.clone()));

    let older = saved(&files["reroutes"]).to_json();
    let plain = converted(&older).graph;
    let bends = r#""extra":{"reroutes":[{"id":1,"pos":[1,2],"linkIds":[1]}],"linkExtensions":[{"id":1,"parentId":1}]}"#;
    assert!(older.contains(r#""extra":{}"#));
    let bent = converted(&older.replacen(r#""extra":{}"#, bends, 1));
    assert_eq!(Value::Object(bent.graph), Value::Object(plain));
}

#[test]
fn wrapped_and_empty_files_are_read() {
    let text = &folder("ui")["version_1"];
    let string = serde_json::to_string(text).unwrap();
    for wrapped in [format!("{{\"workflow\":{text}}}"), format!("{{\"extra\":{{\"workflow\":{string}}}}}")] {
        assert_eq!(read(wrapped.as_bytes()).unwrap().graph.nodes.len(), 3);
    }
    let empty = read(br#"{"nodes":[{"id":1,"type":"Note"}],"links":[]}"#).unwrap_err();
    assert_eq!(empty[0].code, "ui-format");
}

/// One node, as short as the editor would accept it.
fn lone(node: &str) -> String {
    format!(r#"{{"nodes":[{node}],"links":[]}}"#)
}

#[test]
fn the_saved_form_beside_the_submitted_one_adds_what_it_knows() {
    let (saved, submitted) = (&folder("ui")["author"], &folder("ui/api")["author"]);
    let both = inferred(&format!(r#"{{"prompt":{submitted},"workflow":{saved}}}"#)).unwrap();
    let alone = inferred(submitted).unwrap();
    let named = |endpoint: &Endpoint| endpoint.params.iter().any(|param| param.name == "quality");
    assert!(named(&both) && !named(&alone));
}

#[test]
fn values_that_belong_to_nothing_are_told() {
    let node = r#"{"id":1,"type":"EmptyImage","widgets_values":[8,8,1,0,"more"]}"#;
    assert_eq!(codes(&lone(node)), ["surplus-values"]);
    let rows = r#"{"id":1,"type":"Power Lora Loader (rgthree)","widgets_values":[{},{"type":"Header"},
        {"on":true,"lora":"a.safetensors","strength":1},{"on":false,"lora":"b.safetensors","strength":0.5},{},""]}"#;
    let rows = converted(&lone(rows));
    assert!(rows.diagnostics.is_empty(), "{:?}", rows.diagnostics);
    let inputs = rows.graph["1"].get("inputs").unwrap().as_object().unwrap();
    assert_eq!(inputs.keys().collect::<Vec<_>>(), ["lora_1", "lora_2"]);
}

#[test]
fn faults_name_the_node_and_what_to_do() {
    let unknown = converted(&lone(r#"{"id":7,"type":"Mystery","title":"My node","widgets_values":[1,"a"]}"#));
    let found = &unknown.diagnostics[0];
    assert_eq!(
        (found.code, found.node.as_deref(), found.title.as_deref()),
        ("unknown-node", Some("7"), Some("My node"))
    );
    assert!(found.message.contains("Mystery"));
    let shifted =
        converted(&lone(r#"{"id":1,"type":"EmptyLatentImage","widgets_values":["randomize",512,512]}"#));
    let shifted = &shifted.diagnostics[0];
    assert_eq!((shifted.code, shifted.node.as_deref()), ("widgets-misaligned", Some("1")));
    assert!(shifted.message.contains("EmptyLatentImage"));
    for help in [&found.help, &shifted.help].map(|help| help.as_deref().unwrap()) {
        assert!(help.contains("Export (API)") && help.contains("object_info.json"), "{help}");
    }
    assert_eq!(codes(&lone(r#"{"id":1,"type":"Anything Everywhere","inputs":[]}"#)), ["invisible-links"]);
    assert_eq!(codes(&lone(r#"{"id":1,"type":"Note"},{"id":"1","type":"Note"}"#)), ["duplicate-node"]);
    assert_eq!(codes(&lone(r#"{"type":"Note"},5,null,{"id":[],"type":"Note"}"#)), ["odd-node"; 4]);
    assert_eq!(codes(&lone(r#"{"id":1,"type":"Note","inputs":"none"}"#)), ["odd-node"]);
}

#[test]
fn several_faults_come_at_once() {
    let text = lone(
        r#"{"id":1,"type":"A","widgets_values":[1]},{"id":2,"type":"B","widgets_values":[1]},{"id":3,"type":"A","widgets_values":[2]}"#,
    );
    assert_eq!(codes(&text), ["unknown-node"; 3]);
    let refused = inferred(&text).unwrap_err();
    assert_eq!(refused.len(), 3);
}

#[test]
fn random_choices_are_settled_and_said() {
    let text = lone(
        r#"{"id":1,"type":"CLIPTextEncode","inputs":[],"widgets_values":["a {red|green} car // or bus"]}"#,
    );
    let converted = converted(&text);
    assert_eq!(converted.diagnostics[0].code, "dynamic-prompt");
    let inputs = converted.graph["1"].get("inputs").unwrap();
    assert_eq!(inputs.get("text").unwrap().as_str(), Some("a red car "));
}

#[test]
fn old_values_of_forced_sockets_are_left_out() {
    let catalog = br#"{"A":{"input":{"required":{"text":["STRING",{"forceInput":true}],"n":["INT",{}],"seed":["INT",{}]}},"output":[]}}"#;
    let (catalog, _) = Catalog::from_object_info(catalog).unwrap();
    for values in ["[\"\",5,6,\"fixed\"]", "[5,6,\"fixed\"]", "[5,6]"] {
        let value = saved(&lone(&format!(r#"{{"id":1,"type":"A","widgets_values":{values}}}"#)));
        let graph = convert(&value, &catalog).graph;
        assert_eq!(graph["1"].get("inputs").unwrap().to_json(), r#"{"n":5,"seed":6}"#, "{values}");
    }
}

#[test]
fn options_bring_inputs_along() {
    let catalog = br#"{"A":{"input":{"required":{
        "model":["COMFY_DYNAMICCOMBO_V3",{"options":[
            {"key":"small","inputs":{"required":{}}},
            {"key":"big","inputs":{"required":{"steps":["INT",{}],"image":["IMAGE"],
                "mode":["COMFY_DYNAMICCOMBO_V3",{"options":[{"key":"x","inputs":{"required":{"seed":["INT",{"control_after_generate":true}]}}}]}]}}}]}],
        "images":["COMFY_AUTOGROW_V3",{"template":{"input":{"required":{"image":["IMAGE"]}},"prefix":"image","min":1}}],
        "text":["STRING",{}]}},"output":["IMAGE"]}}"#;
    let (catalog, odd) = Catalog::from_object_info(catalog).unwrap();
    assert!(odd.is_empty(), "{odd:?}");
    let again = Catalog::from_object_info(catalog.to_snapshot().as_bytes()).unwrap().0;
    assert_eq!(again.get("A"), catalog.get("A"));
    let node = r#"{"id":2,"type":"A","widgets_values":["big",4,"x",9,"fixed","hi"],"inputs":[
        {"name":"images.image0","type":"IMAGE","link":1},{"name":"model.image","type":"IMAGE","link":2}]}"#;
    let other =
        r#"{"id":1,"type":"A","widgets_values":["small","ho"],"outputs":[{"name":"IMAGE","type":"IMAGE"}]}"#;
    let value =
        saved(&format!(r#"{{"nodes":[{other},{node}],"links":[[1,1,0,2,0,"IMAGE"],[2,1,0,2,1,"IMAGE"]]}}"#));
    let graph = convert(&value, &catalog).graph;
    assert_eq!(graph["1"].get("inputs").unwrap().to_json(), r#"{"model":"small","text":"ho"}"#);
    assert_eq!(
        graph["2"].get("inputs").unwrap().to_json(),
        r#"{"model":"big","model.steps":4,"model.mode":"x","model.mode.seed":9,"text":"hi","model.image":["1",0],"images.image0":["1",0]}"#
    );
}

/// A subgraph that is made of ten of the next one, and so on.
fn tower(height: usize, last: &str) -> String {
    let definitions = (0..height).map(|level| {
        let next = if level + 1 == height { last.to_owned() } else { format!("level {}", level + 1) };
        let nodes =
            (0..10).map(|id| format!(r#"{{"id":{id},"type":"{next}","inputs":[],"widgets_values":[]}}"#));
        let nodes: Vec<String> = nodes.collect();
        format!(
            r#"{{"id":"level {level}","nodes":[{}],"links":[],"inputs":[],"outputs":[]}}"#,
            nodes.join(",")
        )
    });
    let definitions: Vec<String> = definitions.collect();
    let root = r#"{"id":1,"type":"level 0"}"#;
    format!(r#"{{"nodes":[{root}],"links":[],"definitions":{{"subgraphs":[{}]}}}}"#, definitions.join(","))
}

#[test]
fn towers_of_subgraphs_are_refused() {
    assert_eq!(codes(&tower(12, "EmptyImage")), ["too-large"]);
    assert_eq!(converted(&tower(3, "EmptyImage")).graph.len(), 1000);
    assert!(codes(&tower(3, "level 1")).iter().all(|code| *code == "recursive-subgraph"));
    assert!(codes(&tower(2, "level 0")).contains(&"recursive-subgraph"));
}

#[test]
fn circles_of_helpers_are_named() {
    let text = r#"{"nodes":[
        {"id":1,"type":"Reroute","inputs":[{"name":"","type":"*","link":2}],"outputs":[{"name":"","type":"*"}]},
        {"id":2,"type":"Reroute","inputs":[{"name":"","type":"*","link":1}],"outputs":[{"name":"","type":"*"}]},
        {"id":3,"type":"PreviewImage","inputs":[{"name":"images","type":"IMAGE","link":3}]}],
        "links":[[1,1,0,2,0,"*"],[2,2,0,1,0,"*"],[3,1,0,3,0,"*"]]}"#;
    assert_eq!(codes(text), ["cycle"]);
}

#[test]
fn a_hundred_thousand_nodes_are_read() {
    let reroute = |id: usize| {
        format!(
            r#"{{"id":{id},"type":"Reroute","inputs":[{{"name":"","type":"*","link":{id}}}],"outputs":[{{"name":"","type":"*"}}]}}"#
        )
    };
    let mut nodes: Vec<String> = (2..100_000).map(reroute).collect();
    nodes.push(r#"{"id":1,"type":"EmptyImage","outputs":[{"name":"IMAGE","type":"IMAGE"}]}"#.to_owned());
    nodes.push(
        r#"{"id":100000,"type":"SaveImage","inputs":[{"name":"images","type":"IMAGE","link":100000}]}"#
            .to_owned(),
    );
    let links: Vec<String> = (2..=100_000).map(|id| format!("[{id},{},0,{id},0,\"*\"]", id - 1)).collect();
    let text = format!(r#"{{"nodes":[{}],"links":[{}]}}"#, nodes.join(","), links.join(","));
    let source = read(text.as_bytes()).unwrap();
    assert_eq!(source.graph.node("100000").unwrap().link("images").unwrap().node, "1");
}

/// What a value is changed into.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::Bool(true)),
        Just(Value::Array(Vec::new())),
        Just(Value::Object(Object::new())),
        Just(Value::from("")),
        Just(Value::from("11111111-1111-4111-8111-111111111111")),
        Just(Value::from("workflow>Scaled")),
        Just(Value::from("Reroute")),
        Just(Value::from("PrimitiveNode")),
        Just(Value::from("GetNode")),
        (-30_i64..80).prop_map(Value::from),
        Just(Value::Number(Number::from_f64(f64::NAN))),
        Just(Value::Number(Number::parse("1e400").unwrap_or(Number::from_f64(1e300)))),
        "\\PC{0,8}".prop_map(Value::from),
    ]
}

/// Changes the value that the steps lead to, or takes a member away.
fn mutate(value: &mut Value, steps: &[u32], odd: &Value) {
    let Some((step, rest)) = steps.split_first() else {
        *value = odd.clone();
        return;
    };
    let place = |count: usize| usize::try_from(*step).unwrap_or_default() % count;
    match value {
        Value::Array(items) if !items.is_empty() => {
            let index = place(items.len());
            if rest.is_empty() && odd.is_null() {
                items.remove(index);
            } else {
                mutate(&mut items[index], rest, odd);
            }
        }
        Value::Object(members) if !members.is_empty() => {
            let index = place(members.len());
            if rest.is_empty() && odd.is_null() {
                members.shift_remove_index(index);
            } else {
                mutate(&mut members[index], rest, odd);
            }
        }
        other => *other = odd.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn changed_files_never_panic(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((prop::collection::vec(any::<u32>(), 1..9), odd()), 1..12),
    ) {
        static FILES: LazyLock<Vec<Value>> = LazyLock::new(|| folder("ui").values().map(|text| saved(text)).collect());
        let mut value = file.get(&FILES).clone();
        for (steps, odd) in &changes {
            mutate(&mut value, steps, odd);
        }
        let text = value.to_json();
        drop(inferred(&text));
        let first = convert(&value, Catalog::core());
        let second = convert(&value, Catalog::core());
        prop_assert_eq!(Value::Object(first.graph).to_json(), Value::Object(second.graph).to_json());
    }
}
