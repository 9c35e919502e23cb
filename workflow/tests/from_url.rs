//! Models that callers may tell by their address, as sidecar files have it.

#![allow(clippy::unwrap_used)]

use comfyport_workflow::{Catalog, Endpoint, Options, Param, Sidecar, Tier, endpoint, openapi::fragment};
use serde_json::{Value, json};

fn read(sidecar: &str) -> Endpoint {
    let node = |class: &str, inputs: Value| json!({"class_type": class, "inputs": inputs});
    let graph = json!({
        "1": node("CheckpointLoaderSimple", json!({"ckpt_name": "a.safetensors"})),
        "2": node("CLIPTextEncode", json!({"text": "x", "clip": ["1", 1]})),
        "3": node("EmptyLatentImage", json!({"width": 512, "height": 768, "batch_size": 1})),
        "4": node("KSampler", json!({
            "seed": 1, "steps": 20, "cfg": 7, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
            "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0],
        })),
        "5": node("VAEDecode", json!({"samples": ["4", 0], "vae": ["1", 2]})),
        "6": node("OddFilter", json!({"image": ["5", 0], "weights": "odd.safetensors"})),
        "8": node("SaveImage", json!({"images": ["6", 0], "filename_prefix": "a"})),
    });
    let sidecar = Sidecar::parse(sidecar).unwrap();
    let options =
        Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: Some(&sidecar), lock: None };
    endpoint(graph.to_string().as_bytes(), &options).unwrap()
}

fn checkpoint(endpoint: &Endpoint) -> &Param {
    let is = |param: &&Param| param.bindings.iter().any(|one| one.input == "ckpt_name");
    endpoint.params.iter().find(is).unwrap()
}

fn errors(endpoint: &Endpoint) -> Vec<&str> {
    let errors = endpoint.diagnostics.iter().filter(|found| found.is_error());
    errors.map(|found| found.message.as_str()).collect()
}

#[test]
fn what_may_be_told_by_its_address_is_a_field_and_says_so() {
    let by_itself = read("");
    assert_eq!((checkpoint(&by_itself).tier, checkpoint(&by_itself).from_url), (Tier::Model, false));
    for (expose, tier) in [("", Tier::Primary), ("expose = \"advanced\"", Tier::Advanced)] {
        let endpoint =
            read(&format!("[params.\"1.ckpt_name\"]\nname = \"checkpoint\"\nfrom_url = true\n{expose}"));
        assert_eq!(errors(&endpoint), [""; 0]);
        let param = checkpoint(&endpoint);
        assert_eq!((param.tier, param.from_url), (tier, true));
        let document: Value = serde_json::from_str(&fragment(&endpoint, "a")).unwrap();
        let fields = &document["components"]["schemas"]["ARequest"]["properties"];
        let fields = if tier == Tier::Advanced { &fields["advanced"]["properties"] } else { fields };
        let schema = &fields["checkpoint"];
        assert_eq!((&schema["type"], &schema["maxLength"]), (&json!("string"), &json!(2048)));
        assert!(schema["description"].as_str().unwrap().contains("http or https address"), "{schema}");
        assert!(comfyport_workflow::doc::field(param).contains("http or https address"));
    }
    let named = read("[params.\"1.ckpt_name\"]\nname = \"checkpoint\"\nexpose = true");
    assert!(!comfyport_workflow::doc::field(checkpoint(&named)).contains("address"));
    assert!(!fragment(&named, "a").contains("2048"));
}

#[test]
fn elsewhere_it_is_an_error() {
    for (entry, said) in [
        ("\"4.steps\"]", "for model files and lists of LoRAs"),
        ("\"4.sampler_name\"]", "for model files and lists of LoRAs"),
        ("\"2.text\"]", "for model files and lists of LoRAs"),
        ("\"1.ckpt_name\"]\noptions = [\"a.safetensors\"]", "for model files and lists of LoRAs"),
        ("\"6.weights\"]", "for models whose folder is known"),
        ("\"1.ckpt_name\"]\nhide = true", "for what callers may set"),
        ("\"1.ckpt_name\"]\nexpose = false", "for what callers may set"),
    ] {
        let endpoint = read(&format!("[params.{entry}\nfrom_url = true"));
        let errors = errors(&endpoint);
        assert!(errors.len() == 1 && errors[0].contains(said), "{entry}: {errors:?}");
        assert!(endpoint.params.iter().all(|param| !param.from_url), "{entry}");
    }
}
