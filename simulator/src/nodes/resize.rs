//! Resampling as PyTorch and Pillow do it.

use image::{RgbImage, imageops};

use crate::media::picture::Picture;

/// The picture at another size. Painted pictures are painted anew; pixels are resampled.
pub(super) fn resize(picture: &Picture, width: u32, height: u32, method: &str) -> Picture {
    let (width, height) = (width.max(1), height.max(1));
    if let Some(picture) = picture.repainted(width, height) {
        return picture;
    }
    let pixels = picture.to_pixels();
    if method == "lanczos" {
        let Some(from) = RgbImage::from_raw(picture.width, picture.height, pixels) else {
            return picture.clone();
        };
        let resized = imageops::resize(&from, width, height, imageops::FilterType::Lanczos3);
        return Picture::pixels(width, height, resized.into_raw());
    }
    let columns = taps(picture.width, width, method);
    let rows = taps(picture.height, height, method);
    let stride = picture.width as usize * 3;
    let mut narrow = Vec::with_capacity(width as usize * picture.height as usize * 3);
    for row in pixels.chunks_exact(stride) {
        for column in &columns {
            for part in 0..3 {
                narrow.push(
                    column.iter().map(|(at, weight)| f32::from(row[at * 3 + part]) * weight).sum::<f32>(),
                );
            }
        }
    }
    let stride = width as usize * 3;
    let mut out = Vec::with_capacity(stride * height as usize);
    for row in &rows {
        for at in 0..stride {
            let value: f32 = row.iter().map(|(line, weight)| narrow[line * stride + at] * weight).sum();
            // Saving a picture cuts fractions off; the small number undoes errors of rounding.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
            out.push((value + 1e-3).clamp(0.0, 255.0) as u8);
        }
    }
    Picture::pixels(width, height, out)
}

/// For every new place along one side, which old ones count how much.
fn taps(from: u32, to: u32, method: &str) -> Vec<Vec<(usize, f32)>> {
    let ratio = f64::from(from) / f64::from(to);
    let last = i64::from(from) - 1;
    let place = |at: i64| usize::try_from(at.clamp(0, last)).unwrap_or(0);
    #[expect(clippy::cast_possible_truncation, reason = "sides are small, and weights need no more")]
    let tap = |at: f64, weight: f64| (place(at as i64), weight as f32);
    (0..to)
        .map(|index| {
            let index = f64::from(index);
            let centre = (index + 0.5) * ratio - 0.5;
            let (whole, part) = (centre.floor(), centre - centre.floor());
            match method {
                "bilinear" => {
                    let centre = centre.max(0.0);
                    let (whole, part) = (centre.floor(), centre - centre.floor());
                    vec![tap(whole, 1.0 - part), tap(whole + 1.0, part)]
                }
                "bicubic" => [-1.0, 0.0, 1.0, 2.0].map(|step| tap(whole + step, cubic(part - step))).to_vec(),
                "area" => {
                    let (start, end) = ((index * ratio).floor(), ((index + 1.0) * ratio).ceil());
                    let mut taps = Vec::new();
                    let mut at = start;
                    while at < end {
                        taps.push(tap(at, 1.0 / (end - start)));
                        at += 1.0;
                    }
                    taps
                }
                _ => vec![tap(((index + 0.5) * ratio).floor(), 1.0)],
            }
        })
        .collect()
}

/// The cubic of PyTorch.
fn cubic(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let x = distance.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}
