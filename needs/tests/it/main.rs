//! What workflows need, from graphs as people export them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod corpus;
mod lock;
mod needs;
mod snapshot;

use comfyport_needs::Needs;
use comfyport_workflow::{Catalog, Endpoint, Options, Sidecar, endpoint};

/// A workflow and its sidecar file.
pub(crate) fn understood(path: &str, graph: &str, sidecar: &str) -> Endpoint {
    let sidecar = Sidecar::parse(sidecar).unwrap();
    let file = format!("{path}.json");
    let options =
        Options { file: &file, path, catalog: Catalog::core(), sidecar: Some(&sidecar), lock: None };
    endpoint(graph.as_bytes(), &options).unwrap()
}

/// A picture made with this checkpoint and passed through a node of this class.
pub(crate) fn graph(checkpoint: &str, class: &str) -> String {
    serde_json::json!({
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox, embedding:easynegative", "clip": ["1", 1]}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "4": {"class_type": "KSampler", "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0],
            "seed": 1, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": class, "inputs": {"image": ["5", 0]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
    })
    .to_string()
}

/// What these need together.
pub(crate) fn needs(endpoints: &[Endpoint]) -> Needs {
    Needs::of(endpoints)
}
