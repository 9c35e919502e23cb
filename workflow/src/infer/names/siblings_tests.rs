use serde_json::{Value, json};

use crate::{Catalog, Endpoint, Options, Param, ParamType, Tier, endpoint};

fn node(class: &str, inputs: Value) -> Value {
    json!({"class_type": class, "inputs": inputs})
}

fn titled(title: &str, class: &str, inputs: Value) -> Value {
    json!({"class_type": class, "inputs": inputs, "_meta": {"title": title}})
}

fn infer(graph: &Value) -> Endpoint {
    let options = Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
    endpoint(graph.to_string().as_bytes(), &options).unwrap()
}

fn param<'e>(endpoint: &'e Endpoint, node: &str, input: &str) -> &'e Param {
    let binds = |param: &&Param| {
        param.derived.is_none() && param.bindings.iter().any(|one| one.node == node && one.input == input)
    };
    endpoint.params.iter().find(binds).unwrap()
}

fn name<'e>(endpoint: &'e Endpoint, node: &str, input: &str) -> &'e str {
    &param(endpoint, node, input).name
}

fn sampler(model: &str, positive: &Value, latent: &Value, rest: &Value) -> Value {
    let mut sampler = node(
        "KSampler",
        json!({
            "seed": 1, "steps": 20, "cfg": 7, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
            "model": [model, 0], "positive": positive, "negative": ["9", 0], "latent_image": latent,
        }),
    );
    for (name, value) in rest.as_object().unwrap() {
        sampler["inputs"][name] = value.clone();
    }
    sampler
}

fn painting() -> Value {
    json!({
        "1": node("CheckpointLoaderSimple", json!({"ckpt_name": "a.safetensors"})),
        "2": node("CLIPTextEncode", json!({"text": "a lake", "clip": ["1", 1]})),
        "9": node("CLIPTextEncode", json!({"text": "mist", "clip": ["1", 1]})),
        "4": node("EmptyLatentImage", json!({"width": 512, "height": 768, "batch_size": 1})),
        "5": sampler("1", &json!(["2", 0]), &json!(["4", 0]), &json!({})),
        "6": node("VAEDecode", json!({"samples": ["5", 0], "vae": ["1", 2]})),
        "7": node("SaveImage", json!({"images": ["6", 0], "filename_prefix": "a"})),
    })
}

#[test]
fn the_first_of_titled_siblings_is_titled_too() {
    let mut graph = painting();
    let net = |title: &str, before: &str, strength: f64| {
        let inputs = json!({"conditioning": [before, 0], "control_net": ["20", 0], "image": ["21", 0], "strength": strength});
        titled(title, "ControlNetApply", inputs)
    };
    graph["20"] = node("ControlNetLoader", json!({"control_net_name": "union.safetensors"}));
    graph["21"] = node("LoadImage", json!({"image": "a.png"}));
    graph["22"] = net("shore", "2", 0.5);
    graph["23"] = net("sky", "22", 0.7);
    graph["5"]["inputs"]["positive"] = json!(["23", 0]);
    let names = |graph: &Value| {
        let endpoint = infer(graph);
        ["22", "23"].map(|node| name(&endpoint, node, "strength").to_owned())
    };
    assert_eq!(names(&graph), ["shore_strength", "sky_strength"]);
    // A title that both have tells nothing, nor does one that repeats the class.
    graph["22"]["_meta"]["title"] = json!("sky");
    assert_eq!(names(&graph), ["strength", "sky_strength"]);
    graph["22"]["_meta"]["title"] = json!("control net");
    assert_eq!(names(&graph), ["strength", "sky_strength"]);
}

#[test]
fn a_titled_sampler_keeps_the_well_known_names() {
    let mut graph = painting();
    graph["5"]["_meta"] = json!({"title": "shore"});
    graph["10"] = sampler(
        "1",
        &json!(["2", 0]),
        &json!(["4", 0]),
        &json!({"seed": 2, "steps": 9, "scheduler": "karras"}),
    );
    graph["10"]["_meta"] = json!({"title": "sky"});
    graph["11"] = node("VAEDecode", json!({"samples": ["10", 0], "vae": ["1", 2]}));
    graph["12"] = node("ImageInvert", json!({"image": ["11", 0]}));
    graph["13"] = node("SaveImage", json!({"images": ["12", 0], "filename_prefix": "b"}));
    let endpoint = infer(&graph);
    let names = |input: &str| ["5", "10"].map(|node| name(&endpoint, node, input));
    assert_eq!(names("seed"), ["seed", "sky_seed"]);
    assert_eq!(names("steps"), ["steps", "sky_steps"]);
    assert_eq!(names("scheduler"), ["shore_scheduler", "sky_scheduler"]);
}

/// Two models that share one row of steps, the second of which goes on from step 10.
fn high_and_low() -> Value {
    let mut graph = painting();
    let advanced = |model: &str, latent: &str, (add, start, end, leave): (&str, u32, u32, &str)| {
        node(
            "KSamplerAdvanced",
            json!({
                "add_noise": add, "noise_seed": 1, "steps": 20, "cfg": 3, "sampler_name": "euler",
                "scheduler": "normal", "start_at_step": start, "end_at_step": end,
                "return_with_leftover_noise": leave, "model": [model, 0], "positive": ["2", 0],
                "negative": ["9", 0], "latent_image": [latent, 0],
            }),
        )
    };
    graph["30"] =
        node("UNETLoader", json!({"unet_name": "a_high_noise.safetensors", "weight_dtype": "default"}));
    graph["31"] =
        node("UNETLoader", json!({"unet_name": "a_low_noise.safetensors", "weight_dtype": "default"}));
    graph["32"] = node("ModelSamplingSD3", json!({"model": ["30", 0], "shift": 8}));
    graph["33"] = node("ModelSamplingSD3", json!({"model": ["31", 0], "shift": 5}));
    graph["5"] = advanced("32", "4", ("enable", 0, 10, "enable"));
    graph["8"] = advanced("33", "5", ("disable", 10, 10000, "disable"));
    graph["6"]["inputs"]["samples"] = json!(["8", 0]);
    graph
}

#[test]
fn shifts_are_called_after_the_models_that_they_patch() {
    let endpoint = infer(&high_and_low());
    assert_eq!(
        ["32", "33"].map(|node| name(&endpoint, node, "shift")),
        ["high_noise_shift", "low_noise_shift"]
    );
}

#[test]
fn a_sampler_that_goes_on_shares_the_steps_whatever_its_title() {
    let mut graph = high_and_low();
    graph["5"]["_meta"] = json!({"title": "motion"});
    graph["8"]["_meta"] = json!({"title": "detail"});
    let together = |graph: &Value| {
        let endpoint = infer(graph);
        for input in ["add_noise", "return_with_leftover_noise"] {
            assert!(["5", "8"].into_iter().all(|node| param(&endpoint, node, input).tier == Tier::Hidden));
        }
        name(&endpoint, "5", "steps") == name(&endpoint, "8", "steps")
    };
    assert!(together(&graph));
    let mut other = high_and_low();
    other["8"]["inputs"]["steps"] = json!(30);
    assert!(!together(&other), "steps of their own");
}

#[test]
fn what_a_later_sampler_makes_is_its_word() {
    let mut graph = painting();
    graph["40"] = node("ImageOnlyCheckpointLoader", json!({"ckpt_name": "film.safetensors"}));
    graph["41"] = node(
        "SVD_img2vid_Conditioning",
        json!({
            "clip_vision": ["40", 1], "init_image": ["6", 0], "vae": ["40", 2], "width": 512, "height": 768,
            "video_frames": 14, "motion_bucket_id": 127, "fps": 6, "augmentation_level": 0,
        }),
    );
    graph["42"] = sampler("40", &json!(["41", 0]), &json!(["41", 2]), &json!({"steps": 12}));
    graph["43"] = node("VAEDecode", json!({"samples": ["42", 0], "vae": ["40", 2]}));
    graph["7"]["inputs"]["images"] = json!(["43", 0]);
    assert_eq!(name(&infer(&graph), "42", "steps"), "video_steps");

    let mut graph = painting();
    graph["41"] =
        node("StableCascade_StageB_Conditioning", json!({"conditioning": ["2", 0], "stage_c": ["5", 0]}));
    graph["42"] = sampler("1", &json!(["41", 0]), &json!(["4", 0]), &json!({"steps": 12}));
    graph["6"]["inputs"]["samples"] = json!(["42", 0]);
    assert_eq!(name(&infer(&graph), "42", "steps"), "stage_b_steps");

    // A picture that is looked at, rather than painted over.
    graph["41"] = node("ReferenceLatent", json!({"conditioning": ["2", 0], "latent": ["5", 0]}));
    assert_eq!(name(&infer(&graph), "42", "steps"), "second_pass_steps");
    let mut variations = graph.clone();
    variations["45"] = sampler("1", &json!(["41", 0]), &json!(["4", 0]), &json!({"seed": 3, "steps": 15}));
    variations["46"] = node("PackMix", json!({"samples": ["42", 0], "others": ["45", 0]}));
    variations["6"]["inputs"]["samples"] = json!(["46", 0]);
    let endpoint = infer(&variations);
    assert_eq!(["42", "45"].map(|node| name(&endpoint, node, "steps")), ["steps_2", "steps_3"]);
    // What makes a latent larger is no sampler.
    graph["44"] = node("PackLatentUpsampler", json!({"samples": ["5", 0], "vae": ["1", 2]}));
    graph["42"]["inputs"]["latent_image"] = json!(["44", 0]);
    graph["42"]["inputs"]["positive"] = json!(["2", 0]);
    assert_eq!(name(&infer(&graph), "42", "steps"), "hires_steps");
}

#[test]
fn lone_values_are_called_after_what_they_feed() {
    let mut graph = painting();
    graph["50"] = node("INTConstant", json!({"value": 12}));
    graph["51"] = node("Float", json!({"Value": 2}));
    graph["52"] = titled("Enough", "Int Literal", json!({"int": 50}));
    graph["53"] = titled("Strands", "Int Literal", json!({"int": 3}));
    graph["54"] = node("easy compare", json!({"a": 1, "b": ["52", 0], "comparison": "a == b"}));
    let inputs = json!({
        "image": ["6", 0], "border": ["50", 0], "scale_width": ["51", 0], "scale_height": ["51", 0],
        "strands": ["53", 0], "active": ["54", 0],
    });
    graph["55"] = node("PackFrame", inputs);
    graph["7"]["inputs"]["images"] = json!(["55", 0]);
    let endpoint = infer(&graph);
    let told = |node: &str, input: &str| {
        let param = param(&endpoint, node, input);
        (param.name.as_str(), param.tier)
    };
    assert_eq!(told("50", "value"), ("border", Tier::Advanced));
    assert_eq!(told("51", "Value"), ("scale", Tier::Advanced));
    assert_eq!(told("52", "int"), ("enough", Tier::Advanced));
    assert_eq!(told("53", "int"), ("strands", Tier::Primary));
}

#[test]
fn how_a_fixed_file_is_read_is_hidden() {
    let graph = json!({
        "1": node("VHS_LoadVideoPath", json!({"video": "clips/a.mp4", "force_rate": 0, "frame_load_cap": 16})),
        "2": node("SaveImage", json!({"images": ["1", 0], "filename_prefix": "a"})),
    });
    let endpoint = infer(&graph);
    assert!(endpoint.diagnostics.iter().any(|found| found.code == "fixed-file"));
    assert_eq!(param(&endpoint, "1", "frame_load_cap").tier, Tier::Hidden);
}

#[test]
fn camera_moves_are_asked_for_and_ends_of_shares_are_numbers() {
    let mut graph = painting();
    let inputs = json!({"image": ["6", 0], "camera_motion": "pan left", "pull_start": 0, "pull_end": 1, "cut_start": 0, "cut_end": 9});
    graph["60"] = node("PackMove", inputs);
    graph["7"]["inputs"]["images"] = json!(["60", 0]);
    let endpoint = infer(&graph);
    assert_eq!(param(&endpoint, "60", "camera_motion").tier, Tier::Primary);
    let types =
        ["pull_start", "pull_end", "cut_start", "cut_end"].map(|input| param(&endpoint, "60", input).ty);
    assert_eq!(types, [ParamType::Number, ParamType::Number, ParamType::Integer, ParamType::Integer]);
}

#[test]
fn files_are_listed_by_number() {
    // The second in the file is the first by its turn.
    let graph = json!({
        "1": node("LoadImage", json!({"image": "a.png"})),
        "2": node("LoadImage", json!({"image": "b.png"})),
        "3": node("PackMix", json!({"one": ["2", 0], "two": ["1", 0]})),
        "4": node("SaveImage", json!({"images": ["3", 0], "filename_prefix": "a"})),
    });
    let endpoint = infer(&graph);
    let files: Vec<(&str, &str)> = endpoint
        .params
        .iter()
        .filter(|param| param.ty == ParamType::Image)
        .map(|param| (param.name.as_str(), param.bindings[0].node.as_str()))
        .collect();
    assert_eq!(files, [("image", "2"), ("image_2", "1")]);
}

#[test]
fn words_that_make_no_name_make_none() {
    let graph = json!({
        "1": titled("4x upscale", "LoadImage", json!({"image": "a.png"})),
        "2": titled("2", "LoadImage", json!({"image": "b.png"})),
        "3": node("SaveImage", json!({"images": ["1", 0], "filename_prefix": "a"})),
        "4": node("SaveImage", json!({"images": ["2", 0], "filename_prefix": "b"})),
        "5": titled("3d model", "3d model", json!({"image": "example.png"})),
        "6": node("SaveImage", json!({"images": ["5", 0], "filename_prefix": "c"})),
    });
    for param in infer(&graph).params {
        assert!(crate::sidecar::is_name(&param.name), "{}", param.name);
    }
}
