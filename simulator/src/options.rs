//! What a simulator is started with.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use comfyport_workflow::catalog::{Catalog, NodeDef, OutputDef};

/// Model files by folder: `checkpoints` → `["sd_xl_base_1.0.safetensors"]`.
pub type ModelFiles = BTreeMap<String, Vec<String>>;

/// Which model files the engine has.
#[derive(Debug, Clone)]
pub enum Models {
    /// Lists a few common files and these, and accepts any name in a prompt.
    Any(ModelFiles),
    /// Lists and accepts exactly these.
    Exact(ModelFiles),
    /// Lists and accepts what is in this folder at that moment.
    In(PathBuf),
}

/// How a simulator behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long a sampling step takes. Zero is as fast as it goes.
    pub step_delay: Duration,
    /// Node classes beside the core ones, or instead of them where names agree.
    pub catalog: Option<Catalog>,
    /// Classes beside the catalog's; see [`open_class`].
    pub extra_classes: Vec<NodeDef>,
    /// Which model files there are.
    pub models: Models,
    /// Whether samplers send previews.
    pub previews: bool,
    /// A file that starts and ends of prompts are added to, one JSON object in a line. Each is on disk before it happens,
    /// so that the file outlives a process that is killed.
    pub ledger: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            step_delay: Duration::ZERO,
            catalog: None,
            extra_classes: Vec::new(),
            models: Models::Any(ModelFiles::new()),
            previews: false,
            ledger: None,
        }
    }
}

/// A class of which nothing is known but its name: it takes any input and its outputs fit any socket.
pub fn open_class(class_type: &str, output_node: bool) -> NodeDef {
    let output = OutputDef { ty: "*".to_owned(), name: "*".to_owned(), is_list: false };
    NodeDef {
        class_type: class_type.to_owned(),
        display_name: Some(class_type.to_owned()),
        inputs: Vec::new(),
        outputs: vec![output; 8],
        hidden: Vec::new(),
        output_node,
        deprecated: false,
        experimental: false,
        api_node: false,
        python_module: Some("custom_nodes.simulated".to_owned()),
        category: Some("simulated".to_owned()),
    }
}

/// The folders of ComfyUI 0.3.64, in its order.
pub(crate) const FOLDERS: [&str; 20] = [
    "checkpoints",
    "configs",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
    "gligen",
    "upscale_models",
    "custom_nodes",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
];

/// What an engine that accepts any model lists of itself.
const COMMON: [(&str, &str); 10] = [
    ("checkpoints", "sd_xl_base_1.0.safetensors"),
    ("checkpoints", "v1-5-pruned-emaonly-fp16.safetensors"),
    ("loras", "lcm_lora_sdxl.safetensors"),
    ("loras", "more_details.safetensors"),
    ("loras", "styles/ink wash.safetensors"),
    ("loras", "sd15/pixel_art.safetensors"),
    ("loras", "sdxl/pixel_art.safetensors"),
    ("upscale_models", "RealESRGAN_x4plus.safetensors"),
    ("vae", "ae.safetensors"),
    ("text_encoders", "clip_l.safetensors"),
];

/// The files below a folder, hidden ones left out, with `/` between folders.
fn found(folder: &Path, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if path.is_dir() {
            names.extend(found(&path, &format!("{prefix}{name}/")));
        } else if !name.starts_with('.') {
            names.push(format!("{prefix}{name}"));
        }
    }
    names
}

impl Models {
    /// The files of a folder.
    pub(crate) fn list(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Self::Any(files) | Self::Exact(files) => files.get(folder).cloned().unwrap_or_default(),
            Self::In(root) => found(&root.join(folder), ""),
        };
        if matches!(self, Self::Any(_)) {
            names.extend(COMMON.iter().filter(|(of, _)| *of == folder).map(|(_, name)| (*name).to_owned()));
        }
        names.sort();
        names.dedup();
        names
    }

    /// Whether a prompt may name this file.
    pub(crate) fn accepts(&self, folder: &str, name: &str) -> bool {
        matches!(self, Self::Any(_)) || self.list(folder).iter().any(|file| file == name)
    }
}
