//! Picture nodes that do what they say.

use std::sync::Arc;

use image::GenericImageView;

use super::{Call, Exception, data::Data, resize::resize};
use crate::{media::picture::Picture, store::Place};

/// The outputs of a class that is simulated for real; `None` for all others.
pub(super) fn evaluate(call: &Call<'_>) -> Result<Option<Vec<Data>>, Exception> {
    let pictures = call.pictures();
    let each = |change: &dyn Fn(&Picture) -> Picture| {
        let changed = pictures.iter().flat_map(|pictures| pictures.iter()).map(change).collect();
        Some(vec![Data::Images(Arc::new(changed))])
    };
    Ok(match call.class {
        "LoadImage" | "LoadImageMask" | "LoadImageOutput" => Some(load(call)?),
        "EmptyImage" => {
            let colour = call.value("color").and_then(comfyport_workflow::json::Value::as_u64).unwrap_or(0);
            let [_, red, green, blue] = u32::try_from(colour).unwrap_or(0).to_be_bytes();
            let picture = Picture::solid(
                call.side("width").unwrap_or(512).max(1),
                call.side("height").unwrap_or(512).max(1),
                [red, green, blue],
            );
            let count = call.side("batch_size").unwrap_or(1).clamp(1, 4096);
            Some(vec![Data::Images(Arc::new(vec![picture; count as usize]))])
        }
        "SolidMask" => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
            let grey = (call.number("value").unwrap_or(1.0).clamp(0.0, 1.0) * 255.0) as u8;
            let (width, height) = (call.side("width").unwrap_or(512), call.side("height").unwrap_or(512));
            Some(vec![Data::Masks(Arc::new(vec![Picture::solid(width.max(1), height.max(1), [grey; 3])]))])
        }
        "ImageInvert" => each(&Picture::inverted),
        "ImageScale" => {
            let method = call.text("upscale_method").unwrap_or("nearest-exact");
            let (width, height) = (call.side("width").unwrap_or(512), call.side("height").unwrap_or(512));
            let centred = call.text("crop") == Some("center");
            each(&|picture| scale(picture, width, height, method, centred))
        }
        "ImageScaleBy" => {
            let method = call.text("upscale_method").unwrap_or("nearest-exact");
            let factor = call.number("scale_by").unwrap_or(1.0);
            each(&|picture| {
                resize(picture, times(picture.width, factor), times(picture.height, factor), method)
            })
        }
        "ImageScaleToTotalPixels" => {
            let method = call.text("upscale_method").unwrap_or("nearest-exact");
            let total = call.number("megapixels").unwrap_or(1.0) * 1024.0 * 1024.0;
            each(&|picture| {
                let factor = (total / (f64::from(picture.width) * f64::from(picture.height))).sqrt();
                resize(picture, times(picture.width, factor), times(picture.height, factor), method)
            })
        }
        _ => None,
    })
}

/// Python's `round` of a side times a factor.
fn times(side: u32, factor: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
    let side = (f64::from(side) * factor).round_ties_even().clamp(1.0, 16_384.0) as u32;
    side
}

/// ComfyUI's `common_upscale`, where a side of 0 keeps the proportions.
fn scale(picture: &Picture, width: u32, height: u32, method: &str, centred: bool) -> Picture {
    let (from_width, from_height) = (f64::from(picture.width), f64::from(picture.height));
    let (width, height) = match (width, height) {
        (0, 0) => return picture.clone(),
        (0, height) => (times(picture.width, f64::from(height) / from_height), height),
        (width, 0) => (width, times(picture.height, f64::from(width) / from_width)),
        both => both,
    };
    if !centred {
        return resize(picture, width, height, method);
    }
    let (old, new) = (from_width / from_height, f64::from(width) / f64::from(height));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "half of a side at most")]
    let margin = |side: f64, ratio: f64| ((side - side * ratio) / 2.0).round_ties_even() as u32;
    let (x, y) =
        if old > new { (margin(from_width, new / old), 0) } else { (0, margin(from_height, old / new)) };
    let kept = window(picture, x, y, picture.width - 2 * x, picture.height - 2 * y);
    resize(&kept, width, height, method)
}

/// The middle of a picture at this size.
pub(super) fn crop(picture: &Picture, width: u32, height: u32) -> Picture {
    let (width, height) = (width.min(picture.width), height.min(picture.height));
    window(picture, (picture.width - width) / 2, (picture.height - height) / 2, width, height)
}

fn window(picture: &Picture, x: u32, y: u32, width: u32, height: u32) -> Picture {
    if (width, height) == (picture.width, picture.height) {
        return picture.clone();
    }
    picture.repainted(width, height).unwrap_or_else(|| {
        let pixels = picture.to_pixels();
        let stride = picture.width as usize * 3;
        let rows = pixels.chunks_exact(stride).skip(y as usize).take(height as usize);
        let kept = rows.flat_map(|row| &row[x as usize * 3..(x + width) as usize * 3]).copied().collect();
        Picture::pixels(width, height, kept)
    })
}

/// A picture, and a mask that is white where the picture is transparent.
fn load(call: &Call<'_>) -> Result<Vec<Data>, Exception> {
    let name = call.text("image").unwrap_or_default();
    let path = format!("/srv/ComfyUI/input/{name}");
    let file = call.engine.store.get(&Place::annotated(name));
    let file = file.ok_or_else(|| {
        Exception::new("FileNotFoundError", format!("[Errno 2] No such file or directory: '{path}'"))
    })?;
    let read = image::load_from_memory(&file.data).map_err(|_| {
        Exception::new("PIL.UnidentifiedImageError", format!("cannot identify image file '{path}'"))
    })?;
    let (width, height) = read.dimensions();
    let alpha = read.color().has_alpha().then(|| read.to_rgba8());
    let grey = |channel: usize, flip: bool| {
        let read = read.to_rgba8();
        let pixels = read.pixels().flat_map(|pixel| {
            let value = pixel.0[channel];
            [if flip { 255 - value } else { value }; 3]
        });
        Data::Masks(Arc::new(vec![Picture::pixels(width, height, pixels.collect())]))
    };
    if call.class == "LoadImageMask" {
        let channel = call.text("channel").unwrap_or("alpha");
        return Ok(vec![match channel {
            "red" => grey(0, false),
            "green" => grey(1, false),
            "blue" => grey(2, false),
            _ => grey(3, true),
        }]);
    }
    let mask = match alpha {
        Some(_) => grey(3, true),
        None => Data::Masks(Arc::new(vec![Picture::solid(64, 64, [0; 3])])),
    };
    let picture = Picture::pixels(width, height, read.to_rgb8().into_raw());
    Ok(vec![Data::Images(Arc::new(vec![picture])), mask])
}
