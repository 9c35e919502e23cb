//! Parameters that people think in: what callers say, and what the engine is given for it.

use std::fs;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::process::Comfyport;

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";

/// Two LoRAs, a picture with a mask, two samplers one after the other, and an upscaler.
fn portrait() -> Value {
    let node = |class: &str, inputs: Value| json!({"class_type": class, "inputs": inputs});
    let sampler = |seed: u64, latent: &str, denoise: f64| {
        node(
            "KSampler",
            json!({
                "seed": seed, "steps": 20, "cfg": 7, "sampler_name": "euler", "scheduler": "normal",
                "denoise": denoise, "model": ["3", 0], "positive": ["4", 0], "negative": ["5", 0],
                "latent_image": [latent, 0],
            }),
        )
    };
    let lora = |strength: f64, from: &str| {
        node(
            "LoraLoader",
            json!({
                "lora_name": "more_details.safetensors", "strength_model": strength, "strength_clip": 1,
                "model": [from, 0], "clip": [from, 1],
            }),
        )
    };
    json!({
        "1": node("CheckpointLoaderSimple", json!({"ckpt_name": "sd_xl_base_1.0.safetensors"})),
        "2": lora(0.5, "1"),
        "3": lora(0.8, "2"),
        "4": node("CLIPTextEncode", json!({"text": "a portrait", "clip": ["3", 1]})),
        "5": node("CLIPTextEncode", json!({"text": "", "clip": ["3", 1]})),
        "6": node("LoadImage", json!({"image": "example.png"})),
        "7": node("VAEEncode", json!({"pixels": ["6", 0], "vae": ["1", 2]})),
        "8": node("LoadImageMask", json!({"image": "mask.png", "channel": "red"})),
        "9": node("SetLatentNoiseMask", json!({"samples": ["7", 0], "mask": ["8", 0]})),
        "10": sampler(1, "9", 0.6),
        "11": sampler(2, "10", 0.3),
        "12": node("VAEDecode", json!({"samples": ["11", 0], "vae": ["1", 2]})),
        "13": node("UpscaleModelLoader", json!({"model_name": "RealESRGAN_x4plus.safetensors"})),
        "14": node("ImageUpscaleWithModel", json!({"upscale_model": ["13", 0], "image": ["12", 0]})),
        "15": node("SaveImage", json!({"images": ["14", 0], "filename_prefix": "portrait"})),
    })
}

/// A server in front of a simulator that can be asked what it was given.
struct Studio {
    server: Comfyport,
    simulator: Comfyport,
    _folder: TempDir,
}

impl Studio {
    fn new() -> Self {
        Self::of(&portrait())
    }

    fn of(portrait: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("portrait.json"), portrait.to_string()).unwrap();
        let simulator = Comfyport::simulator();
        let settings = [("COMFYPORT_WORKFLOWS_DIR", folder.path().to_str().unwrap())];
        let server = Comfyport::in_front_of_with(simulator.url(), &settings);
        Self { server, simulator, _folder: folder }
    }

    /// Runs a request; what it was made with, and the graph that the engine was given.
    async fn run(&self, path: &str, request: Value) -> (Value, Map<String, Value>) {
        let result = self.server.call(path, &request, 200).await;
        let history = self.simulator.get("/history").send().await.unwrap().json::<Value>().await.unwrap();
        let prompts = history.as_object().unwrap().values().map(|entry| &entry["prompt"]);
        let last = prompts.max_by_key(|prompt| prompt[0].as_u64()).unwrap();
        (result["params"].clone(), last[2].as_object().unwrap().clone())
    }

    /// The pointers and messages of a request that is refused.
    async fn refused(&self, path: &str, request: Value) -> Vec<(String, String)> {
        let problem = self.server.call(path, &request, 422).await;
        let text = |error: &Value, key: &str| error[key].as_str().unwrap().to_owned();
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| (text(error, "pointer"), text(error, "message"))).collect()
    }
}

fn input<'g>(graph: &'g Map<String, Value>, node: &str, input: &str) -> &'g Value {
    &graph[node]["inputs"][input]
}

#[tokio::test(flavor = "multi_thread")]
async fn files_left_out_and_switches_take_their_nodes_with_them() {
    let studio = Studio::new();
    let (params, graph) =
        studio.run("/portrait", json!({"prompt": "x", "image": PIXEL, "mask": PIXEL})).await;
    assert_eq!(graph.len(), 15);
    assert_eq!(input(&graph, "10", "latent_image"), &json!(["9", 0]));
    assert_eq!(params["upscale"], true);

    let (params, graph) = studio.run("/portrait", json!({"prompt": "x", "image": PIXEL})).await;
    assert!(!graph.contains_key("8") && !graph.contains_key("9"), "{graph:?}");
    assert_eq!(input(&graph, "10", "latent_image"), &json!(["7", 0]));
    assert!(params.get("mask").is_none(), "{params}");

    let (_, graph) = studio
        .run("/portrait", json!({"prompt": "x", "image": PIXEL, "mask": PIXEL, "upscale": false}))
        .await;
    assert!(!graph.contains_key("13") && !graph.contains_key("14"), "{graph:?}");
    assert_eq!(input(&graph, "15", "images"), &json!(["12", 0]));

    let (_, graph) =
        studio.run("/portrait", json!({"prompt": "x", "image": PIXEL, "upscale": false, "loras": []})).await;
    let mut left: Vec<u32> = graph.keys().map(|id| id.parse().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, [1, 4, 5, 6, 7, 10, 11, 12, 15]);
    assert_eq!(input(&graph, "4", "clip"), &json!(["1", 1]));
    assert_eq!(input(&graph, "10", "model"), &json!(["1", 0]));

    assert_eq!(
        studio.refused("/portrait", json!({"prompt": "x"})).await,
        [("/image".to_owned(), "is required".to_owned())]
    );
}

/// A part that is off needs nothing of the engine.
#[tokio::test(flavor = "multi_thread")]
async fn models_of_parts_that_are_off_may_be_missing() {
    let mut graph = portrait();
    graph["13"]["inputs"]["model_name"] = json!("of nobody.safetensors");
    graph["13"]["_meta"] = json!({"title": "@?upscale=off"});
    graph["14"]["_meta"] = json!({"title": "@?upscale=off"});
    let studio = Studio::of(&graph);
    let request = json!({"prompt": "x", "image": PIXEL});
    let described = studio.server.read("/portrait", 200).await.json();
    assert_eq!(described["ready"], true, "{described}");
    let missing = &described["engines"][0]["missing_optional"]["models"];
    assert_eq!(missing[0]["file"], "of nobody.safetensors", "{described}");
    let (params, _) = studio.run("/portrait", request).await;
    assert_eq!(params["upscale"], false);

    let with_it = json!({"prompt": "x", "image": PIXEL, "upscale": true});
    let problem = studio.server.call("/portrait", &with_it, 503).await;
    assert_eq!(problem["code"], "workflow_not_ready");
    assert_eq!(problem["missing"]["models"][0]["file"], "of nobody.safetensors");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_loras_takes_the_place_of_the_chain() {
    let studio = Studio::new();
    let file = "more_details.safetensors";
    let (params, graph) = studio.run("/portrait", json!({"prompt": "x", "image": PIXEL})).await;
    assert_eq!(params["loras"][1], json!({"name": file, "strength": 0.8, "strength_clip": 1}));
    assert_eq!(input(&graph, "2", "strength_model"), &json!(0.5));

    let loras = json!([
        {"name": file, "strength": 0.1}, {"name": file, "strength": 0.2, "strength_clip": 0.9}, {"name": file},
    ]);
    let (_, graph) = studio.run("/portrait", json!({"prompt": "x", "image": PIXEL, "loras": loras})).await;
    assert!(!graph.contains_key("2"), "{graph:?}");
    let strengths = |id: &str| {
        (
            input(&graph, id, "strength_model").as_f64().unwrap(),
            input(&graph, id, "strength_clip").as_f64().unwrap(),
        )
    };
    assert_eq!(strengths("3.lora0"), (0.1, 0.1));
    assert_eq!(strengths("3.lora1"), (0.2, 0.9));
    assert_eq!(strengths("3"), (1.0, 1.0));
    assert_eq!(input(&graph, "3.lora0", "model"), &json!(["1", 0]));
    assert_eq!(input(&graph, "3.lora1", "clip"), &json!(["3.lora0", 1]));
    assert_eq!(input(&graph, "3", "model"), &json!(["3.lora1", 0]));
    assert_eq!(input(&graph, "10", "model"), &json!(["3", 0]));

    let one =
        studio.run("/portrait", json!({"prompt": "x", "image": PIXEL, "loras": [{"name": file}]})).await.1;
    assert_eq!(input(&one, "3", "model"), &json!(["1", 0]));

    for (loras, message) in [
        (json!({"name": file}), "must be a list"),
        (json!([{"name": file}, {"nmae": file}]), "item 1: unknown field `nmae`"),
        (json!([{"strength": 1}]), "item 0: missing field `name`"),
        (json!([{"name": "../../etc/passwd"}]), "item 0: must be a file name"),
        (json!([{"name": file, "strength": 1e9}]), "item 0: a strength must be between -100 and 100"),
        (Value::from(vec![json!({"name": file}); 17]), "at most 16"),
        (json!([{"name": "nobody.safetensors"}]), "the engine has no such file"),
    ] {
        let errors =
            studio.refused("/portrait", json!({"prompt": "x", "image": PIXEL, "loras": loras})).await;
        assert!(errors[0].0 == "/loras" && errors[0].1.contains(message), "{loras}: {errors:?}");
    }
    let both = json!({"prompt": "x", "image": PIXEL, "loras": [], "advanced": {"strength_model": 1}});
    let errors = studio.refused("/portrait", both).await;
    assert_eq!(errors[0].1, "give `loras` or `advanced.strength_model`, not both");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_seed_is_for_every_sampler() {
    let studio = Studio::new();
    let (_, graph) = studio.run("/portrait", json!({"prompt": "x", "image": PIXEL, "seed": u64::MAX})).await;
    for node in ["10", "11"] {
        assert_eq!(input(&graph, node, "seed"), &json!(u64::MAX));
    }
    let (params, graph) = studio.run("/portrait", json!({"prompt": "x", "image": PIXEL})).await;
    assert_eq!(input(&graph, "10", "seed"), &params["seed"]);
    assert_eq!(input(&graph, "11", "seed"), &params["seed"]);
    let own = json!({"prompt": "x", "image": PIXEL, "seed": 5, "advanced": {"ksampler_seed": 6}});
    let (_, graph) = studio.run("/portrait", own).await;
    assert_eq!((input(&graph, "10", "seed"), input(&graph, "11", "seed")), (&json!(5), &json!(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn seconds_are_frames_that_the_model_makes() {
    let studio = Studio::new();
    let film = "/wan/txt2video";
    let frames = |graph: &Map<String, Value>| input(graph, "40", "length").as_u64().unwrap();
    for (request, length, seconds) in [
        (json!({"prompt": "x", "duration_s": 1}), 17, 1.063),
        (json!({"prompt": "x", "duration_s": 0.01}), 1, 0.063),
        (json!({"prompt": "x", "duration_s": 1, "fps": 24}), 25, 1.042),
        (json!({"prompt": "x", "advanced": {"length": 9}}), 9, 0.563),
    ] {
        let (params, graph) = studio.run(film, request.clone()).await;
        assert_eq!(frames(&graph), length, "{request}");
        assert_eq!(params["duration_s"], json!(seconds), "{request}");
        assert_eq!(params["advanced"]["length"], json!(length), "{request}");
    }
    let both = json!({"prompt": "x", "duration_s": 1, "advanced": {"length": 9}});
    let errors = studio.refused(film, both).await;
    assert_eq!(
        errors,
        [("/duration_s".to_owned(), "give `duration_s` or `advanced.length`, not both".to_owned())]
    );
    for odd in [json!(0), json!(-1), json!(1e9), json!("5s")] {
        let errors = studio.refused(film, json!({"prompt": "x", "duration_s": odd})).await;
        assert_eq!(errors[0].0, "/duration_s", "{errors:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ratios_and_areas_are_sides_on_the_step() {
    let studio = Studio::new();
    let path = "/sd15/txt2img";
    for (given, width, height) in [
        (json!({}), 512, 512),
        (json!({"aspect_ratio": "16:9"}), 680, 384),
        (json!({"aspect_ratio": "9:16", "megapixels": 1}), 768, 1368),
        (json!({"megapixels": 1}), 1024, 1024),
        (json!({"aspect_ratio": "2:1", "width": 800}), 800, 400),
        (json!({"aspect_ratio": "2:1", "height": 400}), 800, 400),
        (json!({"megapixels": 0.5, "width": 512}), 512, 1024),
        (json!({"width": 640, "height": 448}), 640, 448),
    ] {
        let mut request = json!({"prompt": "x"});
        request.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let (params, graph) = studio.run(path, request.clone()).await;
        assert_eq!((&params["width"], &params["height"]), (&json!(width), &json!(height)), "{request}");
        let latent = graph.values().find(|node| node["class_type"] == "EmptyLatentImage").unwrap();
        assert_eq!(
            (&latent["inputs"]["width"], &latent["inputs"]["height"]),
            (&json!(width), &json!(height))
        );
        let area = f64::from(width) * f64::from(height) / 1024.0 / 1024.0;
        assert!((params["megapixels"].as_f64().unwrap() - area).abs() < 0.001, "{params}");
    }
    for (given, pointer, message) in [
        (json!({"aspect_ratio": "wide"}), "/aspect_ratio", "must be a ratio"),
        (json!({"aspect_ratio": "1:1", "width": 512, "height": 512}), "/aspect_ratio", "at most two"),
        (json!({"megapixels": 0}), "/megapixels", "greater than 0"),
        (json!({"megapixels": 4, "width": 16}), "/megapixels", "needs `height` to be"),
        (json!({"aspect_ratio": "100:1", "megapixels": 200}), "/aspect_ratio", "needs `width` to be"),
    ] {
        let mut request = json!({"prompt": "x"});
        request.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        let errors = studio.refused(path, request).await;
        assert!(errors[0].0 == pointer && errors[0].1.contains(message), "{given}: {errors:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_a_batch_and_has_an_end() {
    let studio = Studio::new();
    let path = "/sd15/txt2img";
    let result = studio.server.call(path, &json!({"prompt": "x", "count": 3}), 200).await;
    assert_eq!(result["outputs"]["image"].as_array().unwrap().len(), 3);
    assert_eq!(result["params"]["advanced"]["batch_size"], 3);
    let errors = studio.refused(path, json!({"prompt": "x", "count": 17})).await;
    assert_eq!(errors, [("/count".to_owned(), "must be between 1 and 16".to_owned())]);
    let (params, _) = studio.run(path, json!({"prompt": "x", "advanced": {"batch_size": 20}})).await;
    assert_eq!(params["advanced"]["batch_size"], 20);
    let errors =
        studio.refused(path, json!({"prompt": "x", "count": 2, "advanced": {"batch_size": 2}})).await;
    assert_eq!(errors[0].1, "give `count` or `advanced.batch_size`, not both");
}
