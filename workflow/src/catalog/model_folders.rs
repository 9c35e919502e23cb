//! Which inputs name model files, and in which folder those are looked up.

/// `(class, input, folder)` of ComfyUI's own loaders.
const EXACT: &[(&str, &str, &str)] = &[
    ("AudioEncoderLoader", "audio_encoder_name", "audio_encoders"),
    ("CLIPLoader", "clip_name", "text_encoders"),
    ("CLIPVisionLoader", "clip_name", "clip_vision"),
    ("CheckpointLoader", "ckpt_name", "checkpoints"),
    ("CheckpointLoader", "config_name", "configs"),
    ("CheckpointLoaderSimple", "ckpt_name", "checkpoints"),
    ("ControlNetLoader", "control_net_name", "controlnet"),
    ("CreateHookLora", "lora_name", "loras"),
    ("CreateHookLoraModelOnly", "lora_name", "loras"),
    ("CreateHookModelAsLora", "ckpt_name", "checkpoints"),
    ("CreateHookModelAsLoraModelOnly", "ckpt_name", "checkpoints"),
    ("DiffControlNetLoader", "control_net_name", "controlnet"),
    ("DiffusersLoader", "model_path", "diffusers"),
    ("DualCLIPLoader", "clip_name1", "text_encoders"),
    ("DualCLIPLoader", "clip_name2", "text_encoders"),
    ("GLIGENLoader", "gligen_name", "gligen"),
    ("HypernetworkLoader", "hypernetwork_name", "hypernetworks"),
    ("ImageOnlyCheckpointLoader", "ckpt_name", "checkpoints"),
    ("LoraLoader", "lora_name", "loras"),
    ("LoraLoaderModelOnly", "lora_name", "loras"),
    ("ModelPatchLoader", "name", "model_patches"),
    ("PhotoMakerLoader", "photomaker_model_name", "photomaker"),
    ("QuadrupleCLIPLoader", "clip_name1", "text_encoders"),
    ("QuadrupleCLIPLoader", "clip_name2", "text_encoders"),
    ("QuadrupleCLIPLoader", "clip_name3", "text_encoders"),
    ("QuadrupleCLIPLoader", "clip_name4", "text_encoders"),
    ("StyleModelLoader", "style_model_name", "style_models"),
    ("TrainLoraNode", "existing_lora", "loras"),
    ("TripleCLIPLoader", "clip_name1", "text_encoders"),
    ("TripleCLIPLoader", "clip_name2", "text_encoders"),
    ("TripleCLIPLoader", "clip_name3", "text_encoders"),
    ("UNETLoader", "unet_name", "diffusion_models"),
    ("UpscaleModelLoader", "model_name", "upscale_models"),
    ("VAELoader", "vae_name", "vae"),
    ("unCLIPCheckpointLoader", "ckpt_name", "checkpoints"),
];

/// File endings of models.
const MODEL_ENDINGS: &[&str] = &[
    ".safetensors",
    ".ckpt",
    ".pt",
    ".pt2",
    ".pth",
    ".bin",
    ".sft",
    ".gguf",
    ".onnx",
    ".pkl",
    ".engine",
    ".torchscript",
];

/// File endings of media.
const MEDIA_ENDINGS: &[&str] = &[
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".mp4", ".webm", ".mov", ".mkv",
    ".avi", ".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".glb", ".gltf", ".obj", ".fbx", ".stl",
    ".ply",
];

/// The folder of one of ComfyUI's own model inputs.
pub fn exact(class_type: &str, input: &str) -> Option<&'static str> {
    EXACT.iter().find(|(class, name, _)| *class == class_type && *name == input).map(|(_, _, folder)| *folder)
}

/// Whether a text ends like the name of a model file.
pub fn is_model_file(text: &str) -> bool {
    ends_with_any(text, MODEL_ENDINGS)
}

/// Whether a text ends like the name of a picture, film, sound or 3D model.
pub fn is_media_file(text: &str) -> bool {
    ends_with_any(text, MEDIA_ENDINGS)
}

/// Whether a text ends like the name of a file that differs from machine to machine.
pub fn is_file_name(text: &str) -> bool {
    is_model_file(text)
        || is_media_file(text)
        || ends_with_any(text, &[".yaml", ".yml", ".latent", ".json", ".txt"])
}

fn ends_with_any(text: &str, endings: &[&str]) -> bool {
    let text = text.trim_end().to_ascii_lowercase();
    endings.iter().any(|ending| text.len() > ending.len() && text.ends_with(ending))
}
