//! Parameters that people think in: what callers say, and what the engine is given for it.

use std::{fs, path::PathBuf};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{
    process::{Comfyport, repository, run},
    project,
};

const LORA_FIXTURES: [&str; 3] = ["lora_stack.json", "lora_rows.json", "lora_stays.json"];

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

    /// With a portrait, and workflows with LoRAs whose nodes the simulator has.
    fn of(portrait: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("portrait.json"), portrait.to_string()).unwrap();
        let fixtures = PathBuf::from(repository("codegen/tests/clashes"));
        for name in LORA_FIXTURES.into_iter().chain(["object_info.json"]) {
            fs::copy(fixtures.join(name), folder.path().join(name)).unwrap();
        }
        let simulator = Comfyport::simulator_with(&folder.path().join("object_info.json"));
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
        (json!([{"strength": 1}]), "item 0: give `name` or `url`"),
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

/// Requests with lists of LoRAs, and what the nodes then are that a workflow's list is about.
const DETAILS: &str = "more_details.safetensors";

fn lists() -> Vec<(&'static str, Value, Value)> {
    let item = |strength: f64| json!({"name": DETAILS, "strength": strength});
    let row = |strength: f64, two: f64| json!({"on": true, "lora": DETAILS, "strength": strength, "strengthTwo": two});
    let model = |strength: f64, from: &str| json!({"lora_name": DETAILS, "strength_model": strength, "model": [from, 0]});
    let fast = |from: &str| json!({"lora_name": "lcm_lora_sdxl.safetensors", "strength_model": 1, "model": [from, 0]});
    let stack = |first: Value, second: Value| {
        let off = json!(["Off", "None", 1, 1]);
        let place = |place: Value| if place.is_null() { off.clone() } else { place };
        let mut inputs = json!({});
        for (at, place) in [place(first), place(second), off.clone()].into_iter().enumerate() {
            for (value, name) in
                ["switch", "lora_name", "model_weight", "clip_weight"].into_iter().enumerate()
            {
                inputs[format!("{name}_{}", at + 1)] = place[value].clone();
            }
        }
        inputs
    };
    let two = json!({"prompt": "x", "loras": [item(0.1), {"name": DETAILS, "strength": 0.2, "strength_clip": 0.9}]});
    vec![
        (
            "lora_stack",
            json!({"prompt": "x"}),
            json!({"10": stack(json!(["On", DETAILS, 0.5, 0.4]), json!(["Off", "a.safetensors", 1, 1]))}),
        ),
        (
            "lora_stack",
            json!({"prompt": "x", "loras": []}),
            json!({"10": stack(json!(["Off", "None", 0.5, 0.4]), Value::Null)}),
        ),
        (
            "lora_stack",
            two.clone(),
            json!({"10": stack(json!(["On", DETAILS, 0.1, 0.1]), json!(["On", DETAILS, 0.2, 0.9]))}),
        ),
        (
            "lora_rows",
            json!({"prompt": "x"}),
            json!({"10": {
                "PowerLoraLoaderHeaderWidget": {"type": "PowerLoraLoaderHeaderWidget"},
                "lora_1": {"on": true, "lora": DETAILS, "strength": 0.5},
                "lora_2": {"on": true, "lora": "lcm_lora_sdxl.safetensors", "strength": 1},
                "lora_3": {"on": false, "lora": "a.safetensors", "strength": 1},
                "➕ Add Lora": "", "model": ["1", 0], "clip": ["1", 1],
            }}),
        ),
        (
            "lora_rows",
            two,
            json!({"10": {
                "PowerLoraLoaderHeaderWidget": {"type": "PowerLoraLoaderHeaderWidget"},
                "lora_1": row(0.1, 0.1), "lora_3": row(0.2, 0.9),
                "lora_2": {"on": true, "lora": "lcm_lora_sdxl.safetensors", "strength": 1},
                "➕ Add Lora": "", "model": ["1", 0], "clip": ["1", 1],
            }}),
        ),
        (
            "lora_rows",
            json!({"prompt": "x", "loras": []}),
            json!({"10": {
                "PowerLoraLoaderHeaderWidget": {"type": "PowerLoraLoaderHeaderWidget"},
                "lora_2": {"on": true, "lora": "lcm_lora_sdxl.safetensors", "strength": 1},
                "➕ Add Lora": "", "model": ["1", 0], "clip": ["1", 1],
            }}),
        ),
        (
            "lora_stays",
            json!({"prompt": "x"}),
            json!({"10": model(0.5, "1"), "11": fast("10"), "12": model(0.25, "11"), "20": fast("19")}),
        ),
        ("lora_stays", json!({"prompt": "x", "loras": []}), json!({"11": fast("1"), "20": fast("19")})),
        (
            "lora_stays",
            json!({"prompt": "x", "loras": [item(0.1), item(0.2)]}),
            json!({"10.lora0": model(0.1, "1"), "10": model(0.2, "10.lora0"), "11": fast("10"), "20": fast("19")}),
        ),
    ]
}

/// A value in which 1 and 1.0 are the same.
fn loose(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(loose).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), loose(member))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// The inputs of the nodes whose class says that they hold LoRAs.
fn holders(graph: &Map<String, Value>) -> Value {
    let is_holder = |node: &Value| {
        let class = node["class_type"].as_str().unwrap();
        class.contains("Lo") && class.to_lowercase().contains("lora") && !class.contains("Apply")
    };
    let holders = graph.iter().filter(|(_, node)| is_holder(node));
    holders.map(|(id, node)| (id.clone(), node["inputs"].clone())).collect::<Map<_, _>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_loras_fill_stacks_and_leave_few_step_loras_in_place() {
    let studio = Studio::new();
    for (path, request, expected) in lists() {
        let (_, graph) = studio.run(&format!("/{path}"), request.clone()).await;
        assert_eq!(loose(&holders(&graph)), loose(&expected), "{path}: {request}");
        let last = graph["4"]["inputs"]["model"][0].as_str().unwrap();
        let stays = if request["loras"].is_null() { "12" } else { "11" };
        assert_eq!(last, if path == "lora_stays" { stays } else { last }, "{path}: {request}");
    }
    let both = json!({"prompt": "x", "loras": [], "advanced": {"switch_1": "On"}});
    let errors = studio.refused("/lora_stack", both).await;
    assert_eq!(errors[0].1, "give `loras` or `advanced.switch_1`, not both");
    let many = Value::from(vec![json!({"name": DETAILS}); 4]);
    let errors = studio.refused("/lora_stack", json!({"prompt": "x", "loras": many})).await;
    assert_eq!(errors[0].1, "must have at most 3 items");
    let errors = studio
        .refused("/lora_stack", json!({"prompt": "x", "loras": [{"name": DETAILS, "strength": 11}]}))
        .await;
    assert_eq!(errors[0].1, "item 0: a strength must be between -10 and 10");
}

#[tokio::test(flavor = "multi_thread")]
async fn loras_are_told_by_their_address() {
    let studio = Studio::new();
    let ink = "https://host.example/resolve/main/ink%20wash.safetensors?token=s3cret";
    let (params, graph) =
        studio.run("/lora_stack", json!({"prompt": "x", "loras": [{"url": ink, "strength": 0.3}]})).await;
    assert_eq!(input(&graph, "10", "lora_name_1"), "styles/ink wash.safetensors");
    assert_eq!(params["loras"], json!([{"name": "styles/ink wash.safetensors", "strength": 0.3}]));

    let named = json!({"prompt": "x", "loras": [{"url": "https://host.example/models/12?token=s3cret", "name": DETAILS}]});
    let (params, graph) = studio.run("/lora_stack", named).await;
    assert_eq!(input(&graph, "10", "lora_name_1"), DETAILS);
    assert_eq!(params["loras"], json!([{"name": DETAILS, "strength": 1.0}]));

    let address = |tail: &str| format!("https://host.example/{tail}?token=s3cret");
    for (url, message) in [
        (address("models/12"), "item 0: `url` does not end in the name of a LoRA file"),
        (
            address("lost.safetensors"),
            "item 0: the engine has no file `lost.safetensors` in its models folder `loras`, and it is not \
             fetched from https://host.example/lost.safetensors: put it there, or say in `name` which file to use",
        ),
        (
            address("pixel_art.safetensors"),
            "item 0: the engine has 2 files `pixel_art.safetensors`, `sd15/pixel_art.safetensors`, \
             `sdxl/pixel_art.safetensors`: say in `name` which one to use",
        ),
        ("file:///etc/passwd".to_owned(), "item 0: `url` must be an http or https address"),
        ("https://me:s3cret@host.example/a.pt".to_owned(), "must not hold a user name or a password"),
        (format!("https://host.example/{}.pt", "a".repeat(2048)), "must have at most 2048 bytes"),
    ] {
        for path in ["/lora_stack", "/lora_stack:check"] {
            let errors = studio.refused(path, json!({"prompt": "x", "loras": [{"url": url}]})).await;
            assert!(errors[0].0 == "/loras" && errors[0].1.contains(message), "{url}: {errors:?}");
            assert!(!errors[0].1.contains("s3cret"), "{errors:?}");
        }
    }
    let both = json!({"prompt": "x", "loras": [{"url": address("pixel_art.safetensors")}]});
    let problem = studio.server.call("/lora_stack", &both, 422).await;
    assert_eq!(
        problem["errors"][0]["allowed"],
        json!(["sd15/pixel_art.safetensors", "sdxl/pixel_art.safetensors"])
    );
    assert!(!studio.server.log().contains("s3cret"), "{}", studio.server.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds all of comfyport once more; `.ci/run` asks for it"]
async fn lists_of_loras_are_compiled_as_they_are_read_from_a_folder() {
    let parent = tempfile::tempdir().unwrap();
    let own = parent.path().join("own-loras");
    let made = run(&["new", own.to_str().unwrap(), "--path", &repository("")]);
    assert!(made.status.success());
    let fixtures = PathBuf::from(repository("codegen/tests/clashes"));
    for name in LORA_FIXTURES.into_iter().chain(["object_info.json"]) {
        fs::copy(fixtures.join(name), own.join("workflow_templates").join(name)).unwrap();
    }
    let binary = project::build(&own);
    let simulator = Comfyport::simulator_with(&fixtures.join("object_info.json"));
    let server = Comfyport::in_front_of_by(&binary, simulator.url());
    let studio = Studio { server, simulator, _folder: parent };
    for (path, request, expected) in lists() {
        let (_, graph) = studio.run(&format!("/{path}"), request.clone()).await;
        assert_eq!(loose(&holders(&graph)), loose(&expected), "{path}: {request}");
    }
    let ink = "https://host.example/ink%20wash.safetensors?token=s3cret";
    let (params, _) = studio.run("/lora_rows", json!({"prompt": "x", "loras": [{"url": ink}]})).await;
    assert_eq!(params["loras"], json!([{"name": "styles/ink wash.safetensors", "strength": 1.0}]));
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
    let own = json!({"prompt": "x", "image": PIXEL, "seed": 5, "advanced": {"second_pass_seed": 6}});
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
