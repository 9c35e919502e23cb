//! What writing each format costs: time and size of a picture of a megapixel, and how much memory one of fifty takes.
//!
//! ```sh
//! cargo bench -p comfyport-pictures
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::{fs, time::Instant};

use comfyport_pictures::{Codec, Conversion, Limits, Metadata, Thumbnail, Wish};
use image::{DynamicImage, ImageFormat, RgbaImage};

/// Soft light, hard edges and some grain: about as hard to write as what models paint.
fn picture(width: u32, height: u32, alpha: bool) -> DynamicImage {
    let mut random = fastrand::Rng::with_seed(7);
    let unit = |at: u32, of: u32| f64::from(at) / f64::from(of);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
    let byte = |value: f64| value.clamp(0.0, 255.0) as u8;
    let picture = RgbaImage::from_fn(width, height, |x, y| {
        let (across, down) = (unit(x, width), unit(y, height));
        let light = 128.0 + 90.0 * (across * 9.0).sin() * (down * 7.0).cos();
        let edge = if (across * 12.0 + (down * 20.0).sin()).fract() < 0.08 { 70.0 } else { 0.0 };
        let grain = (random.f64() - 0.5) * 12.0;
        let opacity = if alpha { byte(255.0 * (1.3 - (across - 0.5).hypot(down - 0.5) * 1.6)) } else { 255 };
        let colour = [light + edge + grain, light * 0.8 + grain, 200.0 - light * 0.5 + edge + grain];
        image::Rgba([byte(colour[0]), byte(colour[1]), byte(colour[2]), opacity])
    });
    let picture = DynamicImage::from(picture);
    if alpha { picture } else { picture.into_rgb8().into() }
}

fn png(picture: &DynamicImage) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

/// The most memory the process had since it was last forgotten, in MB; 0 where the system does not tell.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) >> 10
}

fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

type Work = Box<dyn Fn(&[u8], &Limits) -> usize>;

type Step<'s> = (&'s str, Work);

fn conversion(json: &'static str) -> Work {
    use comfyport_pictures::Read;
    let conversion = Conversion::read(json, 65_535).unwrap();
    Box::new(move |data, limits| conversion.make(data, Metadata::Strip, limits).unwrap().data.len())
}

fn steps() -> Vec<Step<'static>> {
    let resize = r#"{"resize":{"width":1024,"height":1024,"fit":"cover"}}"#;
    let wish: Wish = comfyport_pictures::Read::read(resize, 65_535).unwrap();
    vec![
        ("png", conversion(r#"{"format":"png","compression":1}"#)),
        ("png compression 6", conversion(r#"{"format":"png","compression":6}"#)),
        ("jpeg", conversion(r#"{"format":"jpeg"}"#)),
        ("webp", conversion(r#"{"format":"webp"}"#)),
        ("webp lossless", conversion(r#"{"format":"webp","lossless":true}"#)),
        ("avif", conversion(r#"{"format":"avif"}"#)),
        ("thumbnail 256", {
            let thumbnail = Thumbnail { width: Some(256), ..Thumbnail::default() };
            Box::new(move |data, limits| thumbnail.make(data, limits).unwrap().data.len())
        }),
        ("input 1024 × 1024", Box::new(move |data, limits| wish.make(data, limits).unwrap().data.len())),
    ]
}

fn main() {
    let limits = Limits { avif_pixels: u64::MAX, ..Limits::default() };
    let huge = std::env::args().any(|argument| argument == "--huge");
    let sizes: &[(u32, u32)] = if huge { &[(8165, 6123)] } else { &[(1024, 1024), (8165, 6123)] };
    for &(width, height) in sizes {
        let megapixels = f64::from(width) * f64::from(height) / 1e6;
        for alpha in [false, true] {
            let data = png(&picture(width, height, alpha));
            println!("\n{megapixels:.1} megapixels, alpha: {alpha}, from {} kB", data.len() / 1000);
            println!("{:<20}{:>12}{:>12}{:>14}", "", "ms/Mpx", "kB", "peak, MB more");
            for (name, step) in steps() {
                // Writing it takes minutes.
                if name == Codec::Avif.name() && megapixels > 20.0 && !huge {
                    continue;
                }
                forget_peak();
                let (before, begun) = (peak(), Instant::now());
                let size = step(&data, &limits);
                let took = begun.elapsed().as_secs_f64() * 1000.0;
                let more = peak().saturating_sub(before);
                println!("{name:<20}{:>12.0}{:>12}{more:>14}", took / megapixels, size / 1000);
            }
        }
    }
}
