//! Every way of marking a graph: what each becomes. One small graph for each, in `conventions/`.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write;

use comfyport_workflow::{
    Catalog, Diagnostic, Endpoint, Options, Param, ParamType, Severity, Tier, endpoint,
};

fn read(name: &str) -> Endpoint {
    let path = format!("{}/tests/conventions/{name}.json", env!("CARGO_MANIFEST_DIR"));
    of(&std::fs::read(path).unwrap())
}

fn of(bytes: &[u8]) -> Endpoint {
    let options =
        Options { file: "graph.json", path: "graph", catalog: Catalog::core(), sidecar: None, lock: None };
    endpoint(bytes, &options).unwrap()
}

fn line(param: &Param) -> String {
    let mut text = format!("{} {}", param.name, param.ty.as_str());
    if param.required {
        text.push('!');
    }
    if let Some(default) = &param.default {
        let _ = write!(text, " = {}", default.to_json());
    }
    if param.ty != ParamType::Seed && (param.min.is_some() || param.max.is_some()) {
        let bound = |bound: &Option<_>| bound.as_ref().map_or_else(String::new, ToString::to_string);
        let _ = write!(text, " ({}..{})", bound(&param.min), bound(&param.max));
    }
    if param.options.len() == 2 {
        let options: Vec<&str> = param.options.iter().filter_map(|option| option.as_str()).collect();
        let _ = write!(text, " ({})", options.join("|"));
    }
    if let Some(encoding) = param.encoding.as_deref().filter(|encoding| *encoding != "upload_name") {
        let _ = write!(text, " as {encoding}");
    }
    let places: Vec<String> =
        param.bindings.iter().map(|binding| format!("{}.{}", binding.node, binding.input)).collect();
    format!("{text} -> {}", places.join(" "))
}

/// What the author declared, in the order callers see it, and the names of the results.
#[track_caller]
fn declares(name: &str, signal: &str, primary: &[&str], advanced: &[&str], outputs: &[&str]) -> Endpoint {
    let endpoint = read(name);
    assert!(endpoint.is_usable(), "{:#?}", endpoint.diagnostics);
    let declared = |tier| -> Vec<String> {
        endpoint.tier(tier).filter(|param| param.signal.contains(signal)).map(line).collect()
    };
    assert_eq!(declared(Tier::Primary), primary);
    assert_eq!(declared(Tier::Advanced), advanced);
    let results: Vec<&str> = endpoint.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(results, outputs);
    endpoint
}

fn codes(endpoint: &Endpoint) -> Vec<&'static str> {
    let mut codes: Vec<&str> = endpoint
        .diagnostics
        .iter()
        .filter(|found| found.severity >= Severity::Warning && found.code != "unknown-class")
        .map(|found| found.code)
        .collect();
    codes.dedup();
    codes
}

#[test]
fn comfy_pack() {
    let endpoint = declares(
        "comfy_pack",
        "a comfy-pack input",
        &[
            r#"wish string = "a lighthouse" -> 1.value"#,
            "sketch image! -> 5.image",
            "rounds integer = 24 (4..60) -> 2.value",
            r#"sampler_name enum = "euler" (euler|heun) -> 3.input"#,
            "strictness number = 6.5 (1..12) -> 4.input",
        ],
        &[],
        &["poster"],
    );
    assert!(codes(&endpoint).is_empty());
}

#[test]
fn comfyui_deploy() {
    let endpoint = declares(
        "comfyui_deploy",
        "a ComfyUI Deploy input",
        &[
            "sketch image! as data_url -> 5.input_id",
            "tune audio! -> 19.audio_file",
            "luck seed -> 7.default_value",
            r#"wish string = "a lighthouse" -> 1.input_id 1.default_value"#,
            "rounds integer = 24 (1..10000) -> 2.input_id 2.default_value",
            "strictness number = 6.5 (1..12) -> 3.input_id 3.default_value",
            r#"mood enum = "calm" (calm|stormy) -> 4.input_id 4.default_value"#,
            "loud boolean = false -> 8.input_id 8.default_value",
            r#"look string = "base.safetensors" -> 18.default_value"#,
        ],
        &[],
        &["poster", "audio"],
    );
    let wish = endpoint.params.iter().find(|param| param.name == "wish").unwrap();
    assert_eq!(wish.description.as_deref(), Some("What to paint."));
}

#[test]
fn swarmui() {
    declares(
        "swarmui",
        "a SwarmUI input",
        &[
            r#"wish string = "a lighthouse" -> 1.value"#,
            "sketch image! -> 5.image",
            "luck seed -> 9.value",
            "rounds integer = 24 (4..60) -> 2.value",
            r#"way enum = "heun" (euler|heun) -> 4.value"#,
        ],
        &["strictness number = 6.5 (1..12) -> 3.value", r#"model string = "base.safetensors" -> 7.value"#],
        &["image"],
    );
}

#[test]
fn serving_toolkit() {
    let endpoint = declares(
        "serving_toolkit",
        "a Serving Toolkit input",
        &[r#"wish string = "a lighthouse" -> 2.default"#, "rounds number = 24 (4..60) -> 3.default"],
        &[],
        &["image"],
    );
    assert_eq!(codes(&endpoint), ["marker-blocks"]);
}

#[test]
fn blender() {
    declares(
        "blender",
        "a ComfyUI-Blender input",
        &[
            r#"wish string = "a lighthouse" -> 1.value"#,
            "sketch image! -> 5.image",
            "seed seed -> 4.value",
            "rounds integer = 24 (4..60) -> 2.value",
            r#"sampler_name enum = "heun" (euler|heun) -> 3.value"#,
            "strictness number = 6.5 (1..12) -> 7.value",
        ],
        &[],
        &["poster"],
    );
}

#[test]
fn krita() {
    let endpoint = declares(
        "krita",
        "a Krita parameter",
        &[
            r#"wish string = "a lighthouse" -> 1.default"#,
            "rounds integer = 24 (4..60) -> 2.default",
            "strictness number = 6.5 (1..12) -> 3.default",
            r#"way enum = "heun" -> 4.default"#,
        ],
        &[],
        &["poster"],
    );
    assert_eq!(codes(&endpoint), ["marker-out-of-reach"]);
}

#[test]
fn request_parameters() {
    declares(
        "request_parameter",
        "a request parameter node",
        &[
            r#"wish string = "a lighthouse" -> 1.value"#,
            "sketch image! as data_url -> 5.value",
            "seed seed -> 7.value",
            "rounds integer = 24 -> 2.value",
            "cfg number = 6.5 -> 3.value",
            r#"way enum = "heun" -> 4.value"#,
        ],
        &[],
        &["image"],
    );
}

#[test]
fn visionatrix() {
    declares(
        "visionatrix",
        "a Visionatrix input",
        &[
            "wish string! -> 1.text",
            "rounds integer = 24 (4..60) -> 2.value",
            r#"way enum = "heun" (euler|heun) -> 4.default_value"#,
        ],
        &["strictness number = 6.5 (1..12) -> 3.value"],
        &["image"],
    );
    declares(
        "visionatrix",
        "an input;… title",
        &["sketch image! -> 5.image"],
        &[r#"unwanted string = "blurry" -> 13.text"#],
        &["image"],
    );
}

#[test]
fn own_tag() {
    let endpoint = declares(
        "own_tag",
        "a tag in the node's title",
        &[
            "wish string! -> 12.text",
            "seed seed -> 15.seed",
            "rounds integer = 20 (4..60) -> 15.steps",
            r#"unwanted enum = "blurry" (blurry|dark and blurry) -> 13.text"#,
            "way enum! -> 15.sampler_name",
        ],
        &[],
        &["poster"],
    );
    for gone in ["cfg", "width", "height"] {
        assert!(
            endpoint.params.iter().all(|param| param.name != gone || param.tier == Tier::Hidden),
            "{gone}"
        );
    }
}

#[test]
fn comfyui_connect() {
    let endpoint = declares(
        "connect",
        "a `$` tag",
        &[
            r#"wish string = "a lighthouse" -> 12.text"#,
            "canvas_width integer = 512 (16..16384) -> 14.width",
            "canvas_height integer = 512 (16..16384) -> 14.height",
            "sampler_seed seed -> 15.seed",
            "sampler_steps integer = 20 (1..10000) -> 15.steps",
            "canvas_batch_size integer = 1 (1..4096) -> 14.batch_size",
        ],
        &[],
        &["poster"],
    );
    assert!(endpoint.graph.node("18").is_none(), "`!bypass` leaves the node out");
    assert_eq!(endpoint.graph.node("17").unwrap().link("images").unwrap().node, "16");
}

#[test]
fn oneapi() {
    declares(
        "oneapi",
        "a `$` tag",
        &[
            "wish string! -> 12.text",
            "rounds integer = 20 (1..10000) -> 15.steps",
            "strictness number = 6.5 (0.0..100.0) -> 15.cfg",
        ],
        &[],
        &["poster"],
    );
}

#[test]
fn viewcomfy() {
    let endpoint = declares(
        "viewcomfy",
        "a ViewComfy mark",
        &[r#"wish string = "a lighthouse" -> 12.text"#],
        &[
            "width integer = 512 (16..16384) -> 14.width",
            "height integer = 512 (16..16384) -> 14.height",
            "batch_size integer = 1 (1..4096) -> 14.batch_size",
        ],
        &["image"],
    );
    let seed = endpoint.params.iter().find(|param| param.ty == ParamType::Seed).unwrap();
    assert_eq!(seed.tier, Tier::Advanced);
}

#[test]
fn mcww() {
    declares(
        "mcww",
        "a <Label:category:row> title",
        &[
            r#"wish string = "a lighthouse" -> 1.value"#,
            "seed seed -> 4.value",
            "rounds integer = 24 (4..60) -> 2.value",
        ],
        &["cfg number = 6.5 (1..12) -> 3.value"],
        &["poster"],
    );
}

#[test]
fn names_in_titles() {
    let endpoint = declares(
        "title_names",
        "a tag in the node's title",
        &[
            "wish string! -> 1.value",
            r#"unwanted string = "blurry" -> 13.text"#,
            "sketch image! -> 5.image",
            "mood image! -> 7.image",
            "luck_seed seed -> 15.seed",
            "boldness_denoise number = 0.6 (0.0..1.0) -> 15.denoise",
            "rounds integer = 24 (1..10000) -> 2.value",
            r#"look_lora string = "ink.safetensors" -> 6.lora_name"#,
            "look_strength number = 0.8 (-100.0..100.0) -> 6.strength_model",
        ],
        &[],
        &["mood_as_it_came", "poster", "board"],
    );
    assert_eq!(codes(&endpoint), ["not-optional"]);
}

/// A graph of two pictures that are joined or kept each for itself, with this title for the node that loads the second.
fn loads(title: &str, joined: bool) -> Endpoint {
    let mut graph = serde_json::json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "First [in_first]"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "b.png"}, "_meta": {"title": title}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
    });
    if joined {
        graph["4"] = serde_json::json!(
            {"class_type": "ImageBatch", "inputs": {"image1": ["1", 0], "image2": ["2", 0]}});
        graph["3"]["inputs"]["images"] = serde_json::json!(["4", 0]);
    } else {
        graph["4"] = serde_json::json!({"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "b"}});
    }
    of(graph.to_string().as_bytes())
}

#[test]
fn files_in_titles_are_required_unless_marked_and_dispensable() {
    let second = |endpoint: &Endpoint| {
        endpoint.params.iter().find(|param| param.name == "second").map(|param| param.required).unwrap()
    };
    let required = loads("Second [in_second]", true);
    assert!(second(&required) && codes(&required).is_empty());
    let optional = loads("Second [in_second?]", true);
    assert!(!second(&optional) && codes(&optional).is_empty());
    let needed = loads("Second [in_second?]", false);
    assert!(second(&needed) && needed.is_usable());
    let found = needed.diagnostics.iter().find(|found| found.code == "not-optional").unwrap();
    assert_eq!(found.severity, Severity::Warning);
    assert!(found.message.contains("`second` is marked as optional, but is required"), "{}", found.message);
}

#[test]
fn tags_of_titles_that_mean_no_value_are_reported() {
    for (sampler, says) in [
        ("KSampler {creativity}", "does not say which value"),
        ("KSampler {creativity} [v2]", "does not say which value"),
        ("KSampler [in_photo]", "does not say which value"),
    ] {
        let found = faults(sampler, "x");
        let [found] = found.as_slice() else { panic!("{sampler}: {found:#?}") };
        assert_eq!((found.code, found.severity), ("bad-tag", Severity::Warning), "{sampler}");
        assert!(found.message.contains(says), "{}", found.message);
    }
    assert!(faults("KSampler [v2] {a|b} {{steps}}", "x").is_empty());
    assert!(faults("KSampler {wish}", "x").is_empty(), "another node has the value of that name");
}

#[test]
fn placeholders() {
    declares(
        "placeholders",
        "a placeholder",
        &[
            "wish string! -> 12.text",
            "unwanted string! -> 13.text",
            "frame image! -> 18.image",
            "width integer = 640 (16..16384) -> 14.width",
            "height integer! (16..16384) -> 14.height",
            "seed seed -> 15.seed",
            "rounds integer! (1..10000) -> 15.steps",
            "strictness number! (0.0..100.0) -> 15.cfg",
            "model string! -> 10.ckpt_name",
        ],
        &[],
        &["image"],
    );
}

/// A graph of one sampler, with these titles for the sampler and the latent.
fn titled(sampler: &str, latent: &str) -> Endpoint {
    let text =
        std::fs::read_to_string(format!("{}/tests/conventions/own_tag.json", env!("CARGO_MANIFEST_DIR")));
    let mut graph: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
    graph["15"]["_meta"]["title"] = sampler.into();
    graph["14"]["_meta"]["title"] = latent.into();
    of(graph.to_string().as_bytes())
}

fn faults(sampler: &str, latent: &str) -> Vec<Diagnostic> {
    let endpoint = titled(sampler, latent);
    endpoint.diagnostics.into_iter().filter(|found| found.severity >= Severity::Warning).collect()
}

#[test]
fn what_cannot_be_meant_is_reported_with_the_node_and_what_to_write() {
    for (title, code, says, help) in [
        ("@quality", "bad-tag", "does not say which value", "`@quality=steps`"),
        ("@quality=step", "bad-tag", "names `step`", "`@quality=steps`"),
        ("@Quality=steps", "bad-tag", "is not a tag", "write `@quality=steps`"),
        ("@steps(60..4)", "bad-range", "least value 60 is above the greatest value 4", "write 4 to 60"),
        ("@steps(30..60)", "bad-range", "own value 20 is outside", "change the value"),
        ("@steps(4...60)", "bad-tag", "is not a tag", "`(least..most)`"),
        ("@steps(4..60", "bad-tag", "is not a tag", "`(least..most)`"),
        ("@sampler_name(4..60)", "bad-range", "a range is for numbers", "remove the range"),
        ("@sampler_name(heun|dpm_2)", "bad-tag", "leaves out the workflow's own value", "one of them"),
        ("@seed!", "bad-tag", "a seed is never required", "remove the mark"),
        ("@-step", "bad-tag", "names `step`", "`@-steps`"),
        ("$s(step)", "bad-tag", "names `step`", "`$s(steps)`"),
        ("<Steps:important:x>", "bad-tag", "is not a place", "<Prompt:prompt:1>"),
        ("@options=steps", "bad-tag", "is not a tag", "lower-case letters"),
    ] {
        let found = faults(title, "x");
        let [found] = found.as_slice() else { panic!("{title}: {found:#?}") };
        assert_eq!((found.code, found.node.as_deref()), (code, Some("15")), "{title}");
        assert!(found.message.contains(says), "{title}: {}", found.message);
        assert!(found.help.as_deref().unwrap().contains(help), "{title}: {:?}", found.help);
    }
}

#[test]
fn declarations_of_one_name_must_agree() {
    let same = titled("@size=steps", "x");
    assert!(same.is_usable(), "{:#?}", same.diagnostics);
    for (sampler, latent, says) in [
        ("@size=steps", "@size=width", "with the value 512 and with 20"),
        ("@size=cfg", "@size=width", "as integer and as number"),
    ] {
        let found = faults(sampler, latent);
        let [found] = found.as_slice() else { panic!("{sampler} {latent}: {found:#?}") };
        assert_eq!(found.code, "conflicting-declarations");
        assert!(found.message.contains(says), "{}", found.message);
        assert!(found.message.contains("14.width and 15."), "{}", found.message);
    }
    let both = titled("x", "@size=width @size=height");
    let size = both.params.iter().find(|param| param.name == "size").unwrap();
    assert_eq!(size.bindings.len(), 2, "one parameter sets both");
}

#[test]
fn no_name_gets_through_as_it_is() {
    for (name, expected) in [
        ("\"]\nfn main() {}", "fn_main"),
        ("../../etc/passwd", "etc_passwd"),
        ("advanced", "advanced_"),
        ("1st wish", "p_1st_wish"),
        ("\u{202e}wish", "wish"),
        ("提示词", "text_1"),
    ] {
        let graph = serde_json::json!({
            "1": {"class_type": "ComfyUIDeployExternalText", "inputs": {"input_id": name, "default_value": "a"}},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}
        });
        let endpoint = of(graph.to_string().as_bytes());
        let names: Vec<&str> = endpoint.tier(Tier::Primary).map(|param| param.name.as_str()).collect();
        assert_eq!(names, [expected], "{name:?}");
    }
}

#[test]
fn placeholders_inside_texts_are_reported() {
    let graph = serde_json::json!({
        "1": {"class_type": "PrimitiveString", "inputs": {"value": "a photo of {{subject}}"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}
    });
    let endpoint = of(graph.to_string().as_bytes());
    assert_eq!(codes(&endpoint), ["bad-placeholder"]);
}

mod hostile {
    use proptest::prelude::*;

    use super::titled;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn titles_never_panic(
            sampler in r"[@$#!?_<>{}()\[\]|=.,:;/ a-z0-9Aé-]{0,40}",
            latent in "\\PC{0,40}",
        ) {
            for param in titled(&sampler, &latent).params {
                prop_assert!(!param.name.is_empty());
            }
        }
    }

    #[test]
    fn a_title_of_a_megabyte_is_read_once() {
        let long = "@( $a( #b !c <d:e:1 ".repeat(50_000);
        drop(titled(&long, &long));
    }
}

#[test]
fn bypassed_nodes_in_a_row_are_gone_past() {
    let node = |class: &str, title: &str, from: &str| serde_json::json!({"class_type": class, "_meta": {"title": title}, "inputs": {"image": [from, 0]}});
    let graph = serde_json::json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
        "2": node("ImageInvert", "a !bypass", "1"),
        "3": node("NobodyKnows", "!bypass b", "2"),
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "a"}},
        "5": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}}
    });
    let endpoint = of(graph.to_string().as_bytes());
    assert_eq!(endpoint.graph.node("4").unwrap().link("images").unwrap().node, "1");
    assert_eq!(codes(&endpoint), ["bypass"], "nothing of `3` is called like `source`");
}
