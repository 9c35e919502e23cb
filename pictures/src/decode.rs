//! From a file to pixels.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageReader, codecs::png::PngDecoder, metadata::Orientation,
};

use crate::{Fault, Format, Frames, Header, Limits, exif};

/// What a picture may carry besides its pixels, unpacked, in bytes. More is refused with the picture.
const BESIDES: u64 = 8 << 20;

/// A decoded picture, the right way up.
#[derive(Debug, Clone)]
pub struct Picture {
    pub(crate) pixels: DynamicImage,
    /// The colour profile that its numbers are meant in.
    pub(crate) icc: Option<Vec<u8>>,
    /// What its camera wrote, without the way it was held.
    pub(crate) exif: Option<Vec<u8>>,
    /// What it was read from.
    pub(crate) format: Format,
}

impl Picture {
    /// Decodes a still picture.
    pub fn decode(data: &[u8], limits: &Limits) -> Result<Self, Fault> {
        let header = Header::read(data, limits)?;
        match header.frames {
            Frames::Several => Err(Fault::Animated),
            Frames::One => Self::of(data, header.format, limits),
        }
    }

    /// Decodes a still picture, or the first frame of one that moves.
    pub fn decode_first(data: &[u8], limits: &Limits) -> Result<Self, Fault> {
        let header = Header::read(data, limits)?;
        Self::of(data, header.format, limits)
    }

    fn of(data: &[u8], format: Format, limits: &Limits) -> Result<Self, Fault> {
        let mut decoder = open(data, format, limits)?;
        let (width, height) = decoder.dimensions();
        // Its own reading of the header counts, should the two differ.
        if u64::from(width) * u64::from(height) > limits.pixels || width.max(height) > limits.side {
            let (width, height) = (u64::from(width), u64::from(height));
            return Err(Fault::TooLarge { width, height, pixels: limits.pixels, side: limits.side });
        }
        let needed = decoder.total_bytes();
        if needed > limits.memory {
            return Err(Fault::TooMuchMemory { needed, allowed: limits.memory });
        }
        let orientation = orientation(&mut decoder);
        let icc = decoder.icc_profile().ok().flatten();
        let exif = decoder.exif_metadata().ok().flatten().and_then(exif::settled);
        let mut pixels =
            whole(DynamicImage::from_decoder(decoder).map_err(|error| fault(&error, format, limits))?);
        pixels.apply_orientation(orientation);
        let icc = icc.and_then(|icc| exif::profile(icc, pixels.color().has_color()));
        Ok(Self { pixels, icc, exif, format })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.pixels.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.pixels.height()
    }
}

/// Whether a picture is stored another way than it is to be looked at. Nothing of it is decoded.
pub fn is_turned(data: &[u8], limits: &Limits) -> Result<bool, Fault> {
    let format = Format::sniff(data).ok_or(Fault::Unknown)?;
    if matches!(format, Format::Gif | Format::Bmp) {
        return Ok(false);
    }
    Ok(orientation(&mut open(data, format, limits)?) != Orientation::NoTransforms)
}

fn open<'d>(data: &'d [u8], format: Format, limits: &Limits) -> Result<Box<dyn ImageDecoder + 'd>, Fault> {
    let mut budget = image::Limits::default();
    let file = Cursor::new(data);
    let failed = |error: ImageError| fault(&error, format, limits);
    if format == Format::Png {
        // Its limit is for all but the pixels, which are counted before they are decoded.
        budget.max_alloc = Some(BESIDES);
        return Ok(Box::new(PngDecoder::with_limits(file, budget).map_err(failed)?));
    }
    budget.max_alloc = Some(limits.memory.saturating_add(BESIDES));
    let mut reader = ImageReader::with_format(file, format.decoder());
    reader.limits(budget);
    Ok(Box::new(reader.into_decoder().map_err(failed)?))
}

/// What cannot be made sense of is as if it were not there: so it is for ComfyUI.
fn orientation(decoder: &mut dyn ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// Fractions, which some TIFF files have, as the whole numbers that every step after this takes.
fn whole(pixels: DynamicImage) -> DynamicImage {
    match pixels {
        DynamicImage::ImageRgb32F(_) => pixels.into_rgb16().into(),
        DynamicImage::ImageRgba32F(_) => pixels.into_rgba16().into(),
        other => other,
    }
}

fn fault(error: &ImageError, format: Format, limits: &Limits) -> Fault {
    match error {
        ImageError::Unsupported(_) => Fault::Unsupported { format: format.name() },
        ImageError::Limits(_) => {
            Fault::TooMuchMemory { needed: limits.memory.saturating_add(1), allowed: limits.memory }
        }
        _ => Fault::Damaged { format: format.name() },
    }
}
