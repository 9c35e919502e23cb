//! Words in names of classes, inputs and files, and what they say.

use super::only;
use crate::{graph::Node, infer::names::slug, json::Value};

/// `(words, name)` of what controls a picture, as in the names of models and of nodes that draw it.
const CONTROLS: &[(&[&str], &str)] = &[
    (&["canny"], "canny"),
    (&["depth", "midas", "zoe", "leres", "depthanything"], "depth"),
    (&["pose", "openpose", "dwpose", "densepose", "dwpreprocessor", "dw"], "pose"),
    (&["lineart", "manga", "anyline"], "lineart"),
    (&["softedge", "hed", "pidi", "pidinet", "teed"], "softedge"),
    (&["scribble", "sketch"], "scribble"),
    (&["mlsd"], "lines"),
    (&["normal", "normalbae", "bae", "dsine"], "normal"),
    (&["seg", "segmentation", "oneformer", "uniformer"], "segmentation"),
    (&["tile"], "tile"),
    (&["inpaint", "inpainting"], "inpaint"),
    (&["recolor", "colorizer"], "color"),
    (&["qr", "qrcode", "monster"], "qr_code"),
    (&["brightness", "illumination"], "brightness"),
    (&["shuffle"], "shuffle"),
    (&["blur", "deblur"], "blur"),
];

/// Words of classes that say nothing about what a value is for.
const GENERIC: &[&str] = &[
    "load",
    "loader",
    "apply",
    "node",
    "simple",
    "advanced",
    "adv",
    "custom",
    "set",
    "get",
    "encode",
    "decode",
    "empty",
    "text",
    "clip",
    "ksampler",
    "sampler",
    "comfy",
    "beta",
    "plus",
    "select",
    "selector",
    "request",
    "parameter",
    "primitive",
    "int",
    "float",
    "string",
    "boolean",
    "value",
    "conditioning",
    "constant",
    "literal",
    "easy",
    "eff",
    "efficient",
    "base64",
    "url",
    "path",
    "from",
    "by",
    "upload",
    "to",
    "v2",
    "v3",
    "multiline",
    "model",
    "prompt",
    "random",
    "only",
    "with",
    "and",
    "the",
    "latent",
    "image",
    "images",
    "vhs",
    "kj",
    "nodes",
    "cr",
    "was",
    "mtb",
];

/// What is left of a class without the words that many have: `controlnet`, `gligen_box`.
pub(in crate::infer) fn class_word(class_type: &str, base: &str) -> Option<String> {
    let plain = class_type.split(['(', '|', '/']).next().unwrap_or(class_type);
    let slug = slug(plain)?.replace("control_net", "controlnet").replace("ip_adapter", "ipadapter");
    let known: Vec<&str> = base.split('_').collect();
    let words: Vec<&str> = slug
        .split('_')
        .filter(|word| word.len() > 1 && !GENERIC.contains(word) && !known.contains(word))
        .collect();
    (!words.is_empty()).then(|| words[..words.len().min(3)].join("_"))
}

/// What the name of an input says before what the value is: `variation` of `variation_seed`.
pub(in crate::infer) fn input_word(input: &str, name: &str) -> Option<String> {
    const PLAIN: &[&str] =
        &["noise", "rand", "random", "positive", "negative", "empty_latent", "flux", "video", "num"];
    let slug = slug(input)?;
    let word = slug.strip_suffix(name)?.strip_suffix('_')?;
    (!PLAIN.contains(&word)).then(|| word.to_owned())
}

/// What a class or a file is about.
pub(super) fn control_word(name: &str) -> Option<&'static str> {
    let plain = slug(name)?.replace(|one: char| one.is_ascii_digit(), "");
    let words: Vec<&str> = plain.split('_').filter(|word| !word.is_empty()).collect();
    let pairs: Vec<String> = words.windows(2).map(<[&str]>::concat).collect();
    let says = |word: &&str| words.contains(word) || pairs.iter().any(|pair| pair == word);
    CONTROLS.iter().find(|(words, _)| words.iter().any(says)).map(|(_, name)| *name)
}

/// What a loader's file, a choice of it, or the class of another node is about.
pub(super) fn words_of_node(node: &Node) -> Option<&'static str> {
    let files = node.literals().filter(|(name, _)| {
        name.contains("name") || name.contains("model") || matches!(*name, "type" | "preprocessor")
    });
    let by_file = only(files.filter_map(|(_, value)| control_word(value.as_str()?)).collect());
    by_file.or_else(|| control_word(&node.class_type))
}

/// Which of several models a loader loads, by its file.
pub(super) fn model_word(node: &Node) -> Option<&'static str> {
    let files = node.literals().filter(|(name, _)| {
        ["ckpt", "unet", "model", "lora"].iter().any(|word| name.contains(word)) && !name.contains("strength")
    });
    let word = |file: &str| {
        let lower = file.to_lowercase();
        let words: Vec<&str> = lower.split(|one: char| !one.is_ascii_alphanumeric()).collect();
        if words.contains(&"high") || lower.contains("highnoise") {
            Some("high_noise")
        } else if words.contains(&"low") && !lower.contains("low_mem") || lower.contains("lownoise") {
            Some("low_noise")
        } else if lower.contains("refiner") {
            Some("refiner")
        } else {
            None
        }
    };
    only(files.filter_map(|(_, value)| word(Value::as_str(value)?)).collect())
}
