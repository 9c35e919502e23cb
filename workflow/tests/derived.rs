//! Parameters that people think in: where they are offered, where not, and what a lock makes of them.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use comfyport_workflow::{Catalog, Derived, Endpoint, Lock, Options, Param, Sidecar, endpoint};
use serde_json::{Value, json};

fn node(class: &str, inputs: Value) -> Value {
    json!({"class_type": class, "inputs": inputs})
}

fn titled(class: &str, title: &str, inputs: Value) -> Value {
    json!({"class_type": class, "inputs": inputs, "_meta": {"title": title}})
}

/// A painting that is inverted and sharpened before it is saved.
fn painting() -> Value {
    json!({
        "1": node("CheckpointLoaderSimple", json!({"ckpt_name": "a.safetensors"})),
        "2": node("CLIPTextEncode", json!({"text": "x", "clip": ["1", 1]})),
        "3": node("EmptyLatentImage", json!({"width": 512, "height": 768, "batch_size": 1})),
        "4": node("KSampler", json!({
            "seed": 1, "steps": 20, "cfg": 7, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
            "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0],
        })),
        "5": node("VAEDecode", json!({"samples": ["4", 0], "vae": ["1", 2]})),
        "6": node("ImageInvert", json!({"image": ["5", 0]})),
        "7": node("ImageSharpen", json!({"image": ["6", 0], "sharpen_radius": 1, "sigma": 1, "alpha": 1})),
        "8": node("SaveImage", json!({"images": ["7", 0], "filename_prefix": "a"})),
    })
}

/// A painting guided by pictures.
fn guided() -> Value {
    let mut graph = painting();
    for (loader, apply, before) in [("20", "21", "2"), ("22", "23", "21")] {
        graph[loader] = node("LoadImage", json!({"image": "a.png"}));
        graph[apply] = node(
            "ControlNetApplyAdvanced",
            json!({
                "strength": 1, "start_percent": 0, "end_percent": 1, "control_net": ["30", 0], "image": [loader, 0],
                "positive": [before, 0], "negative": [before, u8::from(before != "2")],
            }),
        );
    }
    graph["30"] = node("ControlNetLoader", json!({"control_net_name": "c.safetensors"}));
    graph["4"]["inputs"]["positive"] = json!(["23", 0]);
    graph["4"]["inputs"]["negative"] = json!(["23", 1]);
    graph
}

fn read(graph: &Value, sidecar: &str, lock: Option<&Lock>) -> Endpoint {
    let sidecar = Sidecar::parse(sidecar).unwrap();
    let options =
        Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: Some(&sidecar), lock };
    endpoint(graph.to_string().as_bytes(), &options).unwrap()
}

fn find<'e>(endpoint: &'e Endpoint, name: &str) -> Option<&'e Param> {
    endpoint.params.iter().find(|param| param.name == name)
}

fn codes(endpoint: &Endpoint) -> Vec<&str> {
    endpoint.diagnostics.iter().filter(|found| found.is_error()).map(|found| found.code).collect()
}

/// The ids of the nodes that are left in each state of the switches.
fn left(endpoint: &Endpoint, state: usize) -> Vec<&str> {
    let mut ids: Vec<&str> = endpoint.variants[state].nodes.keys().map(String::as_str).collect();
    ids.sort_by_key(|id| id.parse::<u32>().unwrap());
    ids
}

#[test]
fn pictures_that_guide_may_be_left_out_in_every_combination() {
    let endpoint = read(&guided(), "", None);
    assert_eq!(endpoint.switches.len(), 2);
    let of = |state: usize| {
        let link = endpoint.variants[state].node("4").unwrap().link("negative").unwrap();
        (link.node.as_str(), link.slot)
    };
    let first_off = 1 << endpoint.switches.iter().position(|name| name == "control_image").unwrap();
    assert_eq!(of(0), ("23", 1));
    assert_eq!(of(3), ("2", 0));
    assert_eq!(of(3 - first_off), ("21", 1), "without the second picture");
    assert_eq!(of(first_off), ("23", 1), "without the first picture");
    assert_eq!(endpoint.variants[first_off].node("23").unwrap().link("negative").unwrap().node, "2");
    assert!(!left(&endpoint, 3).contains(&"30"), "nothing needs the loader any more");
    assert_eq!(endpoint.params.iter().filter(|param| param.ty.is_media() && !param.required).count(), 2);
}

#[test]
fn a_file_that_is_painted_over_is_required() {
    let mut graph = painting();
    graph["20"] = node("LoadImage", json!({"image": "a.png"}));
    graph["3"] = node("VAEEncode", json!({"pixels": ["20", 0], "vae": ["1", 2]}));
    let endpoint = read(&graph, "", None);
    assert!(find(&endpoint, "image").unwrap().required);
    assert!(endpoint.variants.is_empty());
    let insisted = read(&graph, "[params.image]\nrequired = false", None);
    assert_eq!(codes(&insisted), ["not-optional"]);
}

#[test]
fn authors_can_insist_on_a_file() {
    let sidecar = "[params.\"20.image\"]\nrequired = true\n[params.\"22.image\"]\nrequired = true";
    assert!(read(&guided(), sidecar, None).variants.is_empty());
    let mut graph = guided();
    graph["20"] = titled("LoadImage", "Pose @pose!", json!({"image": "a.png"}));
    let endpoint = read(&graph, "", None);
    assert!(find(&endpoint, "pose").unwrap().required);
    assert_eq!(endpoint.switches.len(), 1);
}

#[test]
fn parts_are_switched_by_sidecar_and_by_tag() {
    let sidecar = "[switches.negative_look]\nnodes = [\"6\"]\ndefault = false\ndescription = \"Inverts.\"";
    let mut graph = painting();
    graph["7"] = titled("ImageSharpen", "Sharpen @?sharpen=off", graph["7"]["inputs"].clone());
    let endpoint = read(&graph, sidecar, None);
    assert_eq!(codes(&endpoint), Vec::<&str>::new());
    for (name, signal) in [("negative_look", "sidecar file"), ("sharpen", "a tag in the node's title")] {
        let param = find(&endpoint, name).unwrap();
        assert_eq!((param.derived, &*param.signal), (Some(Derived::Switch), signal));
        assert_eq!(param.default.as_ref().unwrap().to_json(), "false");
    }
    assert_eq!(left(&endpoint, 0), ["1", "2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!(left(&endpoint, 3), ["1", "2", "3", "4", "5", "8"]);
    assert_eq!(endpoint.variants[3].node("8").unwrap().link("images").unwrap().node, "5");
}

#[test]
fn what_cannot_be_switched_off_is_an_error_where_it_was_asked_for() {
    for nodes in ["[\"8\"]", "[\"5\"]", "[\"1\"]"] {
        let endpoint = read(&painting(), &format!("[switches.x]\nnodes = {nodes}"), None);
        assert_eq!(codes(&endpoint), ["bad-switch"], "{nodes}");
        assert!(find(&endpoint, "x").is_none());
    }
    assert_eq!(codes(&read(&painting(), "[switches.x]\nnodes = [\"99\"]", None)), ["sidecar"]);
    assert_eq!(codes(&read(&painting(), "[params.duration_s]\nhide = false", None)), ["sidecar"]);
}

#[test]
fn derived_fields_take_names_and_can_be_hidden() {
    let sidecar = "[params.count]\nname = \"images\"\nmax = 64\n[params.aspect_ratio]\nhide = true";
    let endpoint = read(&painting(), sidecar, None);
    let count = find(&endpoint, "images").unwrap();
    assert_eq!((count.derived, count.max.as_ref().unwrap().as_i64()), (Some(Derived::Count), Some(64)));
    assert!(find(&endpoint, "aspect_ratio").is_none() && find(&endpoint, "megapixels").is_none());
    let refused = read(&painting(), "[params.count]\ndefault = 2", None);
    assert_eq!(codes(&refused), ["sidecar"]);
}

#[test]
fn a_repeated_latent_is_a_count() {
    let mut graph = painting();
    graph["3"] = node("VAEEncode", json!({"pixels": ["10", 0], "vae": ["1", 2]}));
    graph["10"] = node("LoadImage", json!({"image": "a.png"}));
    graph["11"] = node("RepeatLatentBatch", json!({"samples": ["3", 0], "amount": 2}));
    graph["4"]["inputs"]["latent_image"] = json!(["11", 0]);
    let endpoint = read(&graph, "", None);
    let count = find(&endpoint, "count").unwrap();
    assert_eq!(
        (count.bindings[0].node.as_str(), count.default.as_ref().unwrap().to_json()),
        ("11", "2".to_owned())
    );
}

#[test]
fn groups_of_the_editor_whose_title_says_so_are_switches() {
    let slot = |name: &str, ty: &str, link: Option<u32>| json!({"name": name, "type": ty, "link": link});
    let out = |name: &str, ty: &str, links: &[u32]| json!({"name": name, "type": ty, "links": links});
    let file = |title: &str| {
        json!({
            "version": 0.4, "last_node_id": 3, "last_link_id": 2,
            "nodes": [
                {"id": 1, "type": "LoadImage", "pos": [0, 0], "size": [100, 100], "mode": 0, "inputs": [],
                 "outputs": [out("IMAGE", "IMAGE", &[1]), out("MASK", "MASK", &[])],
                 "widgets_values": ["a.png", "image"]},
                {"id": 2, "type": "ImageInvert", "pos": [500, 0], "size": [100, 100], "mode": 0,
                 "inputs": [slot("image", "IMAGE", Some(1))], "outputs": [out("IMAGE", "IMAGE", &[2])]},
                {"id": 3, "type": "SaveImage", "pos": [900, 0], "size": [100, 100], "mode": 0,
                 "inputs": [slot("images", "IMAGE", Some(2))], "outputs": [], "widgets_values": ["a"]},
            ],
            "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
            "groups": [{"title": title, "bounding": [450, -50, 200, 200]}],
        })
    };
    let endpoint = read(&file("Color fix (optional)"), "", None);
    let switch = find(&endpoint, "color_fix_optional").unwrap();
    assert_eq!((switch.derived, switch.bindings[0].node.as_str()), (Some(Derived::Switch), "2"));
    assert_eq!(left(&endpoint, 1), ["1", "3"]);
    assert!(read(&file("Step 2"), "", None).switches.is_empty());
}

/// A picture that is enlarged in a group; the mode of its nodes is 4 where they are bypassed, 2 where they are muted.
fn sleeping(title: &str, mode: u8) -> Value {
    let slot = |name: &str, ty: &str, link: Option<u32>| json!({"name": name, "type": ty, "link": link});
    let out = |name: &str, ty: &str, links: &[u32]| json!({"name": name, "type": ty, "links": links});
    json!({
        "version": 0.4, "last_node_id": 4, "last_link_id": 3,
        "nodes": [
            {"id": 1, "type": "LoadImage", "pos": [0, 0], "size": [100, 100], "mode": 0, "inputs": [],
             "outputs": [out("IMAGE", "IMAGE", &[1]), out("MASK", "MASK", &[])],
             "widgets_values": ["a.png", "image"]},
            {"id": 2, "type": "ImageUpscaleWithModel", "pos": [500, 0], "size": [100, 100], "mode": mode,
             "inputs": [slot("upscale_model", "UPSCALE_MODEL", Some(3)), slot("image", "IMAGE", Some(1))],
             "outputs": [out("IMAGE", "IMAGE", &[2])]},
            {"id": 4, "type": "UpscaleModelLoader", "pos": [500, 50], "size": [100, 100], "mode": mode,
             "inputs": [], "outputs": [out("UPSCALE_MODEL", "UPSCALE_MODEL", &[3])],
             "widgets_values": ["x4.pth"]},
            {"id": 3, "type": "SaveImage", "pos": [900, 0], "size": [100, 100], "mode": 0,
             "inputs": [slot("images", "IMAGE", Some(2))], "outputs": [], "widgets_values": ["a"]},
        ],
        "links": [[1, 1, 0, 2, 1, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"], [3, 4, 0, 2, 0, "UPSCALE_MODEL"]],
        "groups": [{"title": title, "bounding": [450, -50, 200, 250]}],
    })
}

#[test]
fn groups_that_are_off_in_the_file_are_switches_that_are_off() {
    let endpoint = read(&sleeping("Upscale", 4), "", None);
    let switch = find(&endpoint, "upscale").unwrap();
    assert_eq!(switch.derived, Some(Derived::Switch));
    assert_eq!(switch.default, Some(comfyport_workflow::json::Value::Bool(false)));
    assert_eq!(left(&endpoint, 0), ["1", "2", "3", "4"]);
    assert_eq!(left(&endpoint, 1), ["1", "3"]);
    assert_eq!(endpoint.models.len(), 1);

    let is_plain = |endpoint: &Endpoint| endpoint.switches.is_empty() && endpoint.graph.nodes.len() == 2;
    assert!(is_plain(&read(&sleeping("Step 2", 4), "", None)), "the title does not say that it is optional");
    assert!(is_plain(&read(&sleeping("Upscale", 4), "[params.upscale]\nhide = true", None)));
    // Nothing comes out of what is muted: the editor submits a result of nothing.
    assert!(read(&sleeping("Upscale", 2), "", None).switches.is_empty());
}

#[test]
fn what_is_wrong_in_a_group_that_is_off_stops_nothing() {
    let mut graph = sleeping("Upscale", 4);
    graph["nodes"][1]["title"] = json!("@quality=nothing");
    let endpoint = read(&graph, "", None);
    assert!(endpoint.is_usable() && endpoint.switches.is_empty(), "{:?}", endpoint.diagnostics);
    graph["nodes"][1]["mode"] = json!(0);
    graph["nodes"][2]["mode"] = json!(0);
    assert!(!read(&graph, "", None).is_usable());
}

#[test]
fn a_lock_without_a_group_keeps_it_off() {
    let mut without = sleeping("Step 2", 4);
    let lock = Lock::of(&read(&without, "", None), None);
    without["groups"][0]["title"] = json!("Upscale");
    let endpoint = read(&without, "", Some(&lock));
    assert!(endpoint.switches.is_empty() && endpoint.changes.is_empty(), "{:?}", endpoint.changes);
    assert!(
        endpoint.diagnostics.iter().any(|found| found.code == "not-locked"),
        "{:?}",
        endpoint.diagnostics
    );
}

#[test]
fn a_lock_keeps_what_it_had_and_nothing_more() {
    let unlocked = read(&guided(), "[params.count]\nhide = true", None);
    let lock = Lock::of(&unlocked, None);
    let locked = read(&guided(), "", Some(&lock));
    assert_eq!(codes(&locked), Vec::<&str>::new(), "{:?}", locked.diagnostics);
    assert!(find(&locked, "count").is_none() && find(&locked, "aspect_ratio").is_some());
    assert!(locked.diagnostics.iter().any(|found| found.code == "not-locked"));
    assert!(locked.changes.is_empty(), "{:?}", locked.changes);

    // The lock was written while the pictures were required.
    let strict = read(
        &guided(),
        "[params.\"20.image\"]\nrequired = true\n[params.\"22.image\"]\nrequired = true",
        None,
    );
    let strict = read(&guided(), "", Some(&Lock::of(&strict, None)));
    assert!(strict.changes.is_empty() && strict.switches.is_empty(), "{:?}", strict.changes);

    // What was offered and cannot be any more is a difference.
    let mut moved = guided();
    moved["3"] = node("VAEEncode", json!({"pixels": ["20", 0], "vae": ["1", 2]}));
    let moved = read(&moved, "", Some(&lock));
    let told: Vec<String> = moved.changes.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|change| change.contains("`control_image` is required now")), "{told:?}");
    assert!(told.iter().any(|change| change.starts_with("removed: `aspect_ratio`")), "{told:?}");
}

#[test]
fn a_lock_finds_the_nodes_of_a_switch_again() {
    let sidecar = "[switches.look]\nnodes = [\"6\"]";
    let parsed = Sidecar::parse(sidecar).unwrap();
    let lock = Lock::of(&read(&painting(), sidecar, None), Some(&parsed));
    let mut renumbered = painting();
    let inverts = renumbered.as_object_mut().unwrap().remove("6").unwrap();
    renumbered["60"] = inverts;
    renumbered["7"]["inputs"]["image"] = json!(["60", 0]);
    let endpoint = read(&renumbered, sidecar, Some(&lock));
    assert_eq!(codes(&endpoint), Vec::<&str>::new(), "{:?}", endpoint.diagnostics);
    assert!(!left(&endpoint, 1).contains(&"60"));
}

/// The painting with loaders: id, class, file, and what its model and text encoder come from.
fn with_loaders(loaders: &[(&str, &str, &str, &str)], last: &str) -> Value {
    let mut graph = painting();
    for (id, class, file, from) in loaders {
        let mut inputs = json!({"lora_name": file, "strength_model": 0.5, "model": [from, 0]});
        if *class == "LoraLoader" {
            inputs["strength_clip"] = json!(0.25);
            inputs["clip"] = json!([from, 1]);
        }
        graph[*id] = node(class, inputs);
    }
    graph["4"]["inputs"]["model"] = json!([last, 0]);
    graph
}

/// The default of `loras`, if the workflow has that field.
fn own(endpoint: &Endpoint) -> Option<Value> {
    let param = find(endpoint, "loras")?;
    Some(serde_json::from_str(&param.default.as_ref()?.to_json()).unwrap())
}

const BOTH: &str = "LoraLoader";
const MODEL: &str = "LoraLoaderModelOnly";

#[test]
fn few_step_loras_stay_and_the_list_stands_before_them() {
    let own_file = |name: &str| json!({"name": name, "strength": 0.5});
    let fast = "wan_lightning_v2.safetensors";
    for (loaders, last, expected) in [
        (vec![("10", MODEL, fast, "1")], "10", json!([])),
        (vec![("10", MODEL, "a.st", "1"), ("11", MODEL, fast, "10")], "11", json!([own_file("a.st")])),
        (vec![("10", MODEL, fast, "1"), ("11", MODEL, "a.st", "10")], "11", json!([own_file("a.st")])),
        (
            vec![("10", MODEL, "a.st", "1"), ("11", MODEL, fast, "10"), ("12", MODEL, "b.st", "11")],
            "12",
            json!([own_file("a.st"), own_file("b.st")]),
        ),
    ] {
        let endpoint = read(&with_loaders(&loaders, last), "", None);
        assert_eq!(codes(&endpoint), Vec::<&str>::new());
        assert_eq!(own(&endpoint), Some(expected), "{loaders:?}");
    }
}

#[test]
fn a_list_before_a_lora_that_stays_needs_the_model_to_go_nowhere_else() {
    let fast = "lcm.safetensors";
    let mut graph = with_loaders(&[("10", MODEL, fast, "1")], "10");
    graph["9"] = graph["4"].clone();
    graph["9"]["inputs"]["model"] = json!(["1", 0]);
    graph["9"]["inputs"]["latent_image"] = json!(["4", 0]);
    graph["5"]["inputs"]["samples"] = json!(["9", 0]);
    assert_eq!(own(&read(&graph, "", None)), None);
}

#[test]
fn loaders_of_both_classes_are_one_list_where_the_text_encoder_goes_through() {
    let loaders = [("10", BOTH, "a.st", "1"), ("11", MODEL, "b.st", "10")];
    let mut graph = with_loaders(&loaders, "11");
    graph["2"]["inputs"]["clip"] = json!(["10", 1]);
    let endpoint = read(&graph, "", None);
    assert_eq!(
        own(&endpoint),
        Some(json!([
            {"name": "a.st", "strength": 0.5, "strength_clip": 0.25},
            {"name": "b.st", "strength": 0.5, "strength_clip": 0},
        ]))
    );
    // The text encoder begins behind the first loader.
    let late = with_loaders(&[("10", MODEL, "a.st", "1"), ("11", MODEL, "b.st", "10")], "11");
    let mut late = late;
    late["11"] = node(
        BOTH,
        json!({"lora_name": "b.st", "strength_model": 1, "strength_clip": 1, "model": ["10", 0], "clip": ["1", 1]}),
    );
    assert_eq!(own(&read(&late, "", None)), None);
}

/// The painting with a node that holds several LoRAs, and something that applies them.
fn with_stack(class: &str, mut inputs: Value) -> Value {
    let mut graph = painting();
    let applies_itself = class.contains("rgthree");
    if applies_itself {
        inputs["model"] = json!(["1", 0]);
        inputs["clip"] = json!(["1", 1]);
    }
    graph["10"] = node(class, inputs);
    if !applies_itself {
        graph["11"] = node(
            "CR Apply LoRA Stack",
            json!({"model": ["1", 0], "clip": ["1", 1], "lora_stack": ["10", 0]}),
        );
    }
    let from = if applies_itself { "10" } else { "11" };
    graph["4"]["inputs"]["model"] = json!([from, 0]);
    graph["2"]["inputs"]["clip"] = json!([from, 1]);
    graph
}

fn shape(endpoint: &Endpoint) -> (usize, bool) {
    let shape = find(endpoint, "loras").unwrap().loras.unwrap();
    (shape.most, shape.clip)
}

fn places(first: usize, last: usize, place: impl Fn(usize) -> Vec<(String, Value)>) -> Value {
    (first..=last).flat_map(place).collect::<serde_json::Map<String, Value>>().into()
}

#[test]
fn stacks_are_lists_of_what_is_on() {
    let comfyroll = places(1, 3, |at| {
        vec![
            (format!("switch_{at}"), json!(if at == 2 { "Off" } else { "On" })),
            (format!("lora_name_{at}"), json!(if at == 3 { "None".to_owned() } else { format!("{at}.st") })),
            (format!("model_weight_{at}"), json!(0.7)),
            (format!("clip_weight_{at}"), json!(0.6)),
        ]
    });
    let efficient = |mode: &str, count: usize| {
        let mut inputs = places(1, 50, |at| {
            vec![
                (format!("lora_name_{at}"), json!(format!("{at}.st"))),
                (format!("lora_wt_{at}"), json!(0.1)),
                (format!("model_str_{at}"), json!(0.2)),
                (format!("clip_str_{at}"), json!(0.3)),
            ]
        });
        inputs["input_mode"] = json!(mode);
        inputs["lora_count"] = json!(count);
        inputs
    };
    let mut easy = places(1, 10, |at| {
        vec![
            (format!("lora_{at}_name"), json!("a\\b.st")),
            (format!("lora_{at}_strength"), json!(0.1)),
            (format!("lora_{at}_model_strength"), json!(0.2)),
            (format!("lora_{at}_clip_strength"), json!(0.3)),
        ]
    });
    easy["toggle"] = json!(true);
    easy["mode"] = json!("advanced");
    easy["num_loras"] = json!(1);
    let mut off = easy.clone();
    off["toggle"] = json!(false);
    let rgthree = places(1, 4, |at| {
        vec![
            (format!("lora_0{at}"), json!(if at == 2 { "2.st" } else { "None" })),
            (format!("strength_0{at}"), json!(0.4)),
        ]
    });
    let wan = places(0, 4, |at| {
        vec![
            (format!("lora_{at}"), json!(if at == 0 { "0.st" } else { "none" })),
            (format!("strength_{at}"), json!(1)),
        ]
    });
    let rows = json!({
        "PowerLoraLoaderHeaderWidget": {"type": "PowerLoraLoaderHeaderWidget"},
        "lora_1": {"on": true, "lora": "1.st", "strength": 0.9},
        "lora_2": {"on": false, "lora": "2.st", "strength": 1},
        "lora_3": {"on": true, "lora": "3.st", "strength": 0.9, "strengthTwo": 0.2},
        "➕ Add Lora": "",
    });
    let one = |name: &str, strength: f64| json!({"name": name, "strength": strength});
    let two = |name: &str, strength: f64, clip: f64| json!({"name": name, "strength": strength, "strength_clip": clip});
    for (class, inputs, most, clip, expected) in [
        ("CR LoRA Stack", comfyroll, 3, true, json!([two("1.st", 0.7, 0.6)])),
        ("LoRA Stacker", efficient("simple", 2), 16, false, json!([one("1.st", 0.1), one("2.st", 0.1)])),
        ("LoRA Stacker", efficient("advanced", 1), 16, true, json!([two("1.st", 0.2, 0.3)])),
        ("LoRA Stacker", efficient("advanced", 0), 16, true, json!([])),
        ("easy loraStack", easy, 10, true, json!([two("a/b.st", 0.2, 0.3)])),
        ("easy loraStack", off, 10, true, json!([])),
        ("Lora Loader Stack (rgthree)", rgthree, 4, false, json!([one("2.st", 0.4)])),
        ("WanVideoLoraSelectMulti", wan, 5, false, json!([{"name": "0.st", "strength": 1}])),
        (
            "Power Lora Loader (rgthree)",
            rows,
            16,
            true,
            json!([two("1.st", 0.9, 0.9), two("3.st", 0.9, 0.2)]),
        ),
    ] {
        let endpoint = read(&with_stack(class, inputs), "", None);
        assert_eq!(codes(&endpoint), Vec::<&str>::new(), "{class}");
        assert_eq!(own(&endpoint), Some(expected), "{class}");
        assert_eq!(shape(&endpoint), (most, clip), "{class}");
    }
}

#[test]
fn a_place_that_is_fed_or_a_second_place_for_lists_leaves_no_list() {
    let mut inputs = json!({});
    for at in 1..=4 {
        inputs[format!("lora_0{at}")] = json!("None");
        inputs[format!("strength_0{at}")] = json!(1);
    }
    let class = "Lora Loader Stack (rgthree)";
    let graph = with_stack(class, inputs);
    assert_eq!(own(&read(&graph, "", None)), Some(json!([])));

    let mut fed = graph.clone();
    fed["30"] = node("PrimitiveFloat", json!({"value": 1}));
    fed["10"]["inputs"]["strength_02"] = json!(["30", 0]);
    assert_eq!(own(&read(&fed, "", None)), None, "a strength that something feeds");

    let mut chained = graph.clone();
    chained["12"] = node(MODEL, json!({"lora_name": "a.st", "strength_model": 1, "model": ["10", 0]}));
    chained["4"]["inputs"]["model"] = json!(["12", 0]);
    assert_eq!(own(&read(&chained, "", None)), None, "a chain as well");
    chained["12"]["inputs"]["lora_name"] = json!("lcm.safetensors");
    assert_eq!(own(&read(&chained, "", None)), Some(json!([])), "one that stays is no chain");

    let mut second = graph;
    second["12"] = second["10"].clone();
    second["12"]["inputs"]["model"] = json!(["10", 0]);
    second["4"]["inputs"]["model"] = json!(["12", 0]);
    assert_eq!(own(&read(&second, "", None)), None, "two stacks");
}

#[test]
fn few_step_loras_keep_their_places_in_a_stack() {
    let inputs = places(0, 4, |at| {
        vec![
            (format!("lora_{at}"), json!(if at == 1 { "lightx2v_rank64.safetensors" } else { "none" })),
            (format!("strength_{at}"), json!(1)),
        ]
    });
    let endpoint = read(&with_stack("WanVideoLoraSelectMulti", inputs), "", None);
    assert_eq!((own(&endpoint), shape(&endpoint)), (Some(json!([])), (4, false)));
    let sets: Vec<&str> =
        find(&endpoint, "loras").unwrap().bindings.iter().map(|binding| &*binding.input).collect();
    assert_eq!(sets, ["lora_0", "lora_2", "lora_3", "lora_4"]);
}

/// Two models, one after the other, each with its own loader of a LoRA.
fn two_models(files: [(&str, &str); 2]) -> Value {
    let mut graph = painting();
    for (at, (model, lora)) in files.into_iter().enumerate() {
        graph[format!("2{at}")] = node("UNETLoader", json!({"unet_name": model, "weight_dtype": "default"}));
        graph[format!("3{at}")] =
            node(MODEL, json!({"lora_name": lora, "strength_model": 1, "model": [format!("2{at}"), 0]}));
    }
    graph["9"] = graph["4"].clone();
    graph["9"]["inputs"]["latent_image"] = json!(["4", 0]);
    graph["4"]["inputs"]["model"] = json!(["30", 0]);
    graph["9"]["inputs"]["model"] = json!(["31", 0]);
    graph["5"]["inputs"]["samples"] = json!(["9", 0]);
    graph
}

#[test]
fn lists_of_two_models_are_told_apart_by_words_or_not_offered() {
    let lists = |graph: &Value| -> Vec<(String, String)> {
        let endpoint = read(graph, "", None);
        let lists = endpoint.params.iter().filter(|param| param.derived == Some(Derived::Loras));
        lists.map(|param| (param.name.clone(), param.default.as_ref().unwrap().to_json())).collect()
    };
    let wan = [("wan_HIGH_fp8.safetensors", "a.st"), ("wan_low_noise.safetensors", "b.st")];
    let own = |file: &str| format!("[{{\"name\":\"{file}\",\"strength\":1}}]");
    assert_eq!(
        lists(&two_models(wan)),
        [("high_noise_loras".to_owned(), own("a.st")), ("low_noise_loras".to_owned(), own("b.st")),]
    );
    let fast = [("wan_high_noise.safetensors", "lightx2v.st"), ("wan_low_noise.safetensors", "lightx2v.st")];
    assert_eq!(
        lists(&two_models(fast)),
        [("high_noise_loras".to_owned(), "[]".to_owned()), ("low_noise_loras".to_owned(), "[]".to_owned())]
    );
    let mut mute = two_models([("a.safetensors", "a.st"), ("b.safetensors", "b.st")]);
    assert_eq!(lists(&mute), []);
    mute["30"]["_meta"] = json!({"title": "LoRA of the draft"});
    mute["31"]["_meta"] = json!({"title": "Finish LoRA"});
    let names: Vec<String> = lists(&mute).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["draft_loras", "finish_loras"]);
}
