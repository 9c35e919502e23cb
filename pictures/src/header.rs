//! What a picture says of itself before anything of it is decoded.

use crate::{Fault, Format, frames};

/// How large pictures may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Width times height, in pixels; of what is read and of what is made.
    pub pixels: u64,
    /// The longer side, in pixels; of what is read and of what is made.
    pub side: u32,
    /// A picture as it is decoded, in bytes: between one and eight for each pixel, sixteen for some TIFF files. While it
    /// is changed and written, several times as much is in use.
    pub memory: u64,
    /// Width times height of AVIF files that are written, in pixels: writing them takes far longer than any other.
    pub avif_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pixels: 50_000_000, side: 65_535, memory: 512 << 20, avif_pixels: 16_777_216 }
    }
}

/// One frame, or more than one: nobody needs to know how many more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// A still picture.
    One,
    /// One that moves, or a document of several pages.
    Several,
}

/// What a picture says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its format.
    pub format: Format,
    /// Its width in pixels, as it is stored: before it is turned.
    pub width: u32,
    /// Its height in pixels, as it is stored.
    pub height: u32,
    /// Whether it is still.
    pub frames: Frames,
}

impl Header {
    /// Reads it. Nothing is decoded, and a picture beyond the limits is refused.
    pub fn read(data: &[u8], limits: &Limits) -> Result<Self, Fault> {
        let format = Format::sniff(data).ok_or(Fault::Unknown)?;
        let damaged = || Fault::Damaged { format: format.name() };
        let size = imagesize::blob_size(data).map_err(|_| damaged())?;
        let (width, height) = (size.width as u64, size.height as u64);
        if width == 0 || height == 0 {
            return Err(damaged());
        }
        let longest = u64::from(limits.side);
        if width > longest || height > longest || width.saturating_mul(height) > limits.pixels {
            return Err(Fault::TooLarge { width, height, pixels: limits.pixels, side: limits.side });
        }
        let frames = frames::count(format, data).ok_or_else(damaged)?;
        let side = |length: u64| u32::try_from(length).map_err(|_| damaged());
        Ok(Self { format, width: side(width)?, height: side(height)?, frames })
    }
}
