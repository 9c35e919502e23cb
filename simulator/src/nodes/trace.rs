//! Outputs of nodes that are not simulated: the right type, and as far as it can be known the right size.

use std::sync::Arc;

use comfyport_workflow::json::{Number, Value};

use super::{
    Call,
    data::{Data, Latent},
};
use crate::{
    media::{
        audio::Sound,
        mesh,
        picture::{Painting, Picture, Source},
    },
    order::{inputs, link},
    python,
};

/// One value for every output of the class.
pub(super) fn outputs(call: &Call<'_>) -> Vec<Data> {
    let outputs = call.definition.map_or(&[][..], |definition| &definition.outputs);
    outputs.iter().map(|output| of_type(call, &output.ty)).collect()
}

fn of_type(call: &Call<'_>, ty: &str) -> Data {
    match ty {
        "IMAGE" => Data::Images(images(call)),
        "MASK" => Data::Masks(masks(call)),
        "LATENT" => Data::Latent(latent(call)),
        "AUDIO" => Data::Sound(sound(call)),
        "VIDEO" => {
            let frames = call.pictures().unwrap_or_else(|| Arc::new(paint(call, 512, 512, 16)));
            Data::Video { frames, fps: call.number("fps").unwrap_or(24.0) }
        }
        "MESH" | "VOXEL" => Data::Mesh(call.signature),
        "SVG" => Data::Svg(mesh::svg(call.signature)),
        "SIGMAS" => call.value("steps").and_then(Value::as_u64).map_or(Data::Opaque, Data::Steps),
        "UPSCALE_MODEL" => call.value("model_name").cloned().map_or(Data::Opaque, Data::Value),
        "STRING" => {
            let given = ["value", "text", "string", "prompt"].iter().find_map(|name| call.text(name));
            Data::Value(Value::from(given.unwrap_or("simulated")))
        }
        "INT" | "FLOAT" | "BOOLEAN" => {
            let zero = if ty == "BOOLEAN" { Value::Bool(false) } else { Value::Number(Number::from_i128(0)) };
            Data::Value(call.value("value").cloned().unwrap_or(zero))
        }
        // A socket of any type passes on what comes in, or makes a picture if nothing does.
        "*" => {
            let linked = call.inputs.values().find(|data| !matches!(data, Data::Value(_) | Data::Opaque));
            linked.cloned().unwrap_or_else(|| Data::Images(images(call)))
        }
        _ => Data::Opaque,
    }
}

fn images(call: &Call<'_>) -> Arc<Vec<Picture>> {
    if let Some(latent) = call.inputs.values().find_map(Data::latent) {
        return latent
            .source
            .clone()
            .unwrap_or_else(|| Arc::new(paint(call, latent.width, latent.height, latent.count)));
    }
    let factor = if call.class == "ImageUpscaleWithModel" { upscale_factor(call) } else { 1 };
    if let Some(pictures) = call.pictures() {
        let grown = pictures.iter().map(|picture| {
            let (width, height) =
                ((picture.width * factor).min(16_384), (picture.height * factor).min(16_384));
            let same = picture.repainted(width, height);
            same.unwrap_or_else(|| super::resize::resize(picture, width, height, "bilinear"))
        });
        return Arc::new(grown.collect());
    }
    let width = call.side("width").filter(|side| *side > 0).unwrap_or(512);
    let height = call.side("height").filter(|side| *side > 0).unwrap_or(512);
    Arc::new(paint(call, width, height, call.side("batch_size").unwrap_or(1).clamp(1, 64)))
}

/// How much larger a model makes a picture, by its name.
fn upscale_factor(call: &Call<'_>) -> u32 {
    let name = call.text("upscale_model").unwrap_or_default().to_lowercase();
    let says = |factor: u32| name.contains(&format!("x{factor}")) || name.contains(&format!("{factor}x"));
    [8, 2, 3, 1].into_iter().find(|factor| says(*factor) && !says(4)).unwrap_or(4)
}

fn masks(call: &Call<'_>) -> Arc<Vec<Picture>> {
    let (width, height) = call
        .pictures()
        .and_then(|pictures| pictures.first().map(|first| (first.width, first.height)))
        .or_else(|| Some((call.side("width")?, call.side("height")?)))
        .unwrap_or((64, 64));
    Arc::new(vec![Picture::solid(width.max(1), height.max(1), [255; 3])])
}

fn latent(call: &Call<'_>) -> Latent {
    let seconds = call.number("seconds").or_else(|| call.number("duration"));
    if let Some(latent) = call.inputs.values().find_map(Data::latent) {
        let mut latent = latent.clone();
        // What is sampled is no longer what was encoded.
        latent.source = None;
        if call.class.contains("Upscale") {
            let factor = call.number("scale_by").unwrap_or(1.0);
            latent.width =
                call.side("width").filter(|side| *side > 0).unwrap_or_else(|| scaled(latent.width, factor));
            latent.height =
                call.side("height").filter(|side| *side > 0).unwrap_or_else(|| scaled(latent.height, factor));
        }
        return latent;
    }
    let length =
        call.side("length").filter(|_| call.class.contains("Video") || call.side("batch_size").is_some());
    let count = length.unwrap_or_else(|| call.side("batch_size").unwrap_or(1)).clamp(1, 4096);
    let sized =
        call.side("width").zip(call.side("height")).filter(|(width, height)| *width > 0 && *height > 0);
    match (sized, call.pictures()) {
        (None, Some(pictures)) => {
            // Latents come in cells of eight pixels.
            let first = pictures.first().map_or((512, 512), |first| (first.width, first.height));
            let (width, height) = ((first.0 / 8 * 8).max(8), (first.1 / 8 * 8).max(8));
            let cut = pictures.iter().map(|picture| super::images::crop(picture, width, height)).collect();
            let count = u32::try_from(pictures.len()).unwrap_or(1);
            Latent { width, height, count, seconds: 0.0, source: Some(Arc::new(cut)) }
        }
        (sized, _) => {
            let (width, height) = sized.unwrap_or((512, 512));
            let cells = |side: u32| (side / 8 * 8).max(8);
            Latent {
                width: cells(width),
                height: cells(height),
                count,
                seconds: seconds.unwrap_or(5.0),
                source: None,
            }
        }
    }
}

fn scaled(side: u32, factor: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
    let side = (f64::from(side) * factor).round_ties_even().clamp(1.0, 16_384.0) as u32;
    side
}

fn sound(call: &Call<'_>) -> Sound {
    let known = call.inputs.values().find_map(|data| match data {
        Data::Sound(sound) => Some(*sound),
        _ => None,
    });
    let latent = call.inputs.values().find_map(Data::latent).map(|latent| latent.seconds);
    let seconds =
        latent.or_else(|| call.number("seconds")).or_else(|| call.number("duration")).unwrap_or(5.0);
    let rate = call.side("sample_rate").filter(|rate| (8000..=96_000).contains(rate)).unwrap_or(44_100);
    known.unwrap_or(Sound { seconds, rate: if rate > 65_535 { 48_000 } else { rate }, seed: call.signature })
}

/// Pictures of what was asked for.
pub(super) fn paint(call: &Call<'_>, width: u32, height: u32, count: u32) -> Vec<Picture> {
    let lines = lines(call);
    (0..count)
        .map(|index| {
            let mut lines = lines.clone();
            if count > 1 {
                lines.push(format!("{} of {count}", index + 1));
            }
            let painting =
                Painting { seed: call.signature.wrapping_add(u64::from(index)), lines, inverted: false };
            Picture { width, height, source: Source::Painted(Arc::new(painting)) }
        })
        .collect()
}

/// Literals worth showing.
const SHOWN: [&str; 22] = [
    "text",
    "prompt",
    "clip_l",
    "t5xxl",
    "tags",
    "lyrics",
    "seed",
    "noise_seed",
    "steps",
    "cfg",
    "guidance",
    "sampler_name",
    "scheduler",
    "denoise",
    "width",
    "height",
    "length",
    "batch_size",
    "ckpt_name",
    "unet_name",
    "lora_name",
    "image",
];

/// The parameters of all that led to a picture.
fn lines(call: &Call<'_>) -> Vec<String> {
    let mut lines = vec!["simulated".to_owned()];
    let mut todo = vec![call.id.as_str()];
    let mut seen = Vec::new();
    while let Some(id) = todo.pop() {
        if seen.contains(&id) || seen.len() > 200 {
            continue;
        }
        seen.push(id);
        for (name, value) in inputs(call.prompt, id) {
            if let Some((from, _)) = link(value) {
                todo.push(from);
            } else if SHOWN.contains(&name) {
                let line = format!("{name}: {}", python::str(value).replace('\n', " "));
                if !lines.contains(&line) {
                    lines.push(line.chars().take(120).collect());
                }
            }
        }
    }
    lines.truncate(24);
    lines
}
