//! Small pictures of every kind, and what becomes of them when bytes are changed. A case is made from its number alone.

use std::io::Cursor;

use image::{DynamicImage, ImageEncoder, ImageFormat, Rgb, RgbImage, codecs::jpeg::JpegEncoder};

/// Pictures that are in order.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut soft = RgbImage::from_fn(37, 23, |x, y| {
        Rgb([x * 6, y * 9, x + y].map(|value| u8::try_from(value).unwrap_or(255)))
    });
    soft.pixels_mut().step_by(5).for_each(|pixel| pixel.0[1] = random.u8(..));
    let soft = DynamicImage::from(soft);
    let kinds = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ];
    let mut seeds: Vec<Vec<u8>> = kinds
        .iter()
        .map(|kind| {
            let mut out = Cursor::new(Vec::new());
            let picture = if *kind == ImageFormat::Gif { soft.to_rgba8().into() } else { soft.clone() };
            picture.write_to(&mut out, *kind).unwrap();
            out.into_inner()
        })
        .collect();
    for deep in [soft.to_rgba16().into(), soft.to_luma_alpha8().into(), DynamicImage::from(soft.to_luma16())]
    {
        let mut out = Cursor::new(Vec::new());
        deep.write_to(&mut out, ImageFormat::Png).unwrap();
        seeds.push(out.into_inner());
    }
    let mut held = Vec::new();
    let mut encoder = JpegEncoder::new(&mut held);
    let exif = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    encoder.set_icc_profile(vec![7; 300]).unwrap();
    encoder.write_image(soft.as_bytes(), 37, 23, image::ExtendedColorType::Rgb8).unwrap();
    seeds.push(held);
    seeds.push(lossy_webp(&soft));
    seeds
}

fn lossy_webp(picture: &DynamicImage) -> Vec<u8> {
    use comfyport_pictures::{Codec, Conversion, Limits, Metadata};
    let mut out = Cursor::new(Vec::new());
    picture.to_rgba8().write_to(&mut out, ImageFormat::Png).unwrap();
    Conversion::to(Codec::Webp).make(out.get_ref(), Metadata::Strip, &Limits::default()).unwrap().data
}

/// The picture of a case.
pub(crate) fn case(number: u64, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number);
    let mut data = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(0..6) {
        change(&mut data, &mut random);
    }
    if random.bool() {
        mend(&mut data);
    }
    data
}

fn change(data: &mut Vec<u8>, random: &mut fastrand::Rng) {
    // Headers are where the harm is done.
    let reach = if random.bool() { data.len().min(96) } else { data.len() };
    if reach == 0 {
        return;
    }
    let at = random.usize(..reach);
    match random.u8(..8) {
        0 => data[at] ^= 1 << random.u8(..8),
        1 => data[at] = random.u8(..),
        2 => data[at] = [0, 1, 0x7F, 0x80, 0xFF][random.usize(..5)],
        3 => {
            let number = [0, 1, 0xFFFF, 0x7FFF_FFFF, u32::MAX, 4096, 1_000_000][random.usize(..7)];
            let bytes = if random.bool() { number.to_be_bytes() } else { number.to_le_bytes() };
            let end = (at + 4).min(data.len());
            data[at..end].copy_from_slice(&bytes[..end - at]);
        }
        4 => data.truncate(at),
        5 => {
            let end = (at + random.usize(..64)).min(data.len());
            data.drain(at..end);
        }
        6 => {
            let end = (at + random.usize(..64)).min(data.len());
            let part = data[at..end].to_vec();
            data.splice(at..at, part);
        }
        _ => data.insert(at, random.u8(..)),
    }
}

/// Makes the checksums of PNG chunks right again, so that decoders look at what is in them.
fn mend(data: &mut [u8]) {
    let mut at = 8;
    while data.starts_with(b"\x89PNG")
        && let Some(length) =
            data.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes)
        && let Some(body) = data.get(at + 4..).and_then(|rest| rest.get(..4 + length as usize))
    {
        let mut checksum = flate2::Crc::new();
        checksum.update(body);
        let end = at + 8 + length as usize;
        let Some(place) = data.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&checksum.sum().to_be_bytes());
        at = end + 4;
    }
}
