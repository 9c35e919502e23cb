//! From pixels to a file.

use image::{
    DynamicImage, ImageEncoder, ImageError,
    codecs::{avif::AvifEncoder, jpeg::JpegEncoder, png},
};
use img_parts::{ImageEXIF, ImageICC, webp::WebP};
use serde::{Deserialize, Serialize};
use webp::WebPConfig;

use crate::{Colour, Fault, Format, Limits, Metadata, Picture, shape::laid_on};

/// A format that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is named after its format")]
pub enum Codec {
    Png,
    #[serde(alias = "jpg")]
    Jpeg,
    Webp,
    Avif,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Png, Self::Jpeg, Self::Webp, Self::Avif];

    /// The name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
            Self::Avif => "avif",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name).or((name == "jpg").then_some(Self::Jpeg))
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Avif => "image/avif",
        }
    }

    /// The file name ending, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            other => other.name(),
        }
    }

    /// The one that a picture of this format is written in if nothing is said.
    pub fn of(format: Format) -> Self {
        match format {
            Format::Jpeg => Self::Jpeg,
            Format::Webp => Self::Webp,
            Format::Png | Format::Gif | Format::Bmp | Format::Tiff => Self::Png,
        }
    }

    /// 1 to 100, if nothing is said; for formats that lose something.
    fn quality(self) -> u8 {
        match self {
            Self::Jpeg => 88,
            Self::Webp | Self::Png => 85,
            Self::Avif => 75,
        }
    }
}

/// How libwebp goes about it, where its own way will not do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object")]
pub struct Webp {
    /// How much time it takes for a smaller file: 0 little, 6 much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<u8>,
    /// 1 to 100, of transparency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha_quality: Option<u8>,
    /// Whether it may change pixels a little to compress them without loss; how little, `quality` says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub near_lossless: bool,
    /// Whether it takes more care, and time, over edges between colours.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sharp_colours: bool,
    /// What the picture shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
}

/// What a picture shows, so that a lossy file of it looks better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Anything.
    Default,
    /// A portrait, or something indoors.
    Picture,
    /// A landscape, or something else outdoors.
    Photo,
    /// Lines of high contrast.
    Drawing,
    /// Something small and colourful.
    Icon,
    /// Letters.
    Text,
}

impl Webp {
    fn tune(&self, config: &mut WebPConfig, quality: u8) {
        // The values that libwebp has for them.
        let (noise, sharpness, strength) = match self.preset {
            None | Some(Preset::Default) => {
                (config.sns_strength, config.filter_sharpness, config.filter_strength)
            }
            Some(Preset::Picture) => (80, 4, 35),
            Some(Preset::Photo) => (80, 3, 30),
            Some(Preset::Drawing) => (25, 6, 10),
            Some(Preset::Icon) => (0, config.filter_sharpness, 0),
            Some(Preset::Text) => {
                config.segments = 2;
                (0, config.filter_sharpness, 0)
            }
        };
        (config.sns_strength, config.filter_sharpness, config.filter_strength) = (noise, sharpness, strength);
        if let Some(effort) = self.effort {
            config.method = i32::from(effort);
        }
        if let Some(quality) = self.alpha_quality {
            config.alpha_quality = i32::from(quality);
        }
        if self.near_lossless {
            config.lossless = 1;
            config.near_lossless = i32::from(quality);
        }
        config.use_sharp_yuv = i32::from(self.sharp_colours);
    }
}

/// How a picture is written.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) codec: Codec,
    /// 1 to 100.
    pub(crate) quality: Option<u8>,
    pub(crate) lossless: bool,
    pub(crate) webp: Webp,
    /// 1 (quick) to 9 (small), of PNG files.
    pub(crate) compression: Option<u8>,
    /// What transparent pictures are laid on where the format has no transparency.
    pub(crate) background: Colour,
    pub(crate) metadata: Metadata,
}

/// The longest side of a WebP file, in pixels.
const WEBP_SIDE: u32 = 16_383;

/// AVIF is written at the quickest setting but one: slower ones take several times as long for a few hundredths of the
/// size.
const AVIF_SPEED: u8 = 10;

/// How much time libwebp takes for a smaller file: 0 little, 6 much. Its own default for lossy files; lossless ones
/// gain little above it and take far longer.
const WEBP_METHOD: i32 = 4;
const WEBP_LOSSLESS_METHOD: i32 = 1;

impl Picture {
    pub(crate) fn encode(self, manner: &Manner, limits: &Limits) -> Result<Vec<u8>, Fault> {
        let exif = self.exif.filter(|_| manner.metadata == Metadata::Keep);
        let quality = manner.quality.unwrap_or_else(|| manner.codec.quality());
        match manner.codec {
            Codec::Png => write_png(&self.pixels, manner.compression, self.icc, exif),
            Codec::Jpeg => {
                let pixels = shallow(laid_on(self.pixels, manner.background));
                let mut out = Vec::new();
                let mut encoder = JpegEncoder::new_with_quality(&mut out, quality);
                carry(&mut encoder, self.icc, exif);
                write(encoder, &pixels).map_err(|error| unwritable(manner.codec, error))?;
                Ok(out)
            }
            Codec::Webp => {
                let data = write_webp(self.pixels, manner, quality)?;
                tagged(data, self.icc, exif)
            }
            Codec::Avif => {
                let (width, height) = (self.pixels.width(), self.pixels.height());
                if u64::from(width) * u64::from(height) > limits.avif_pixels {
                    let why =
                        format!("it is {width} × {height}, and at most {} pixels are", limits.avif_pixels);
                    return Err(unwritable(manner.codec, why));
                }
                // The library takes pixels with red, green and blue.
                let pixels = match shallow(self.pixels) {
                    grey @ DynamicImage::ImageLuma8(_) => grey.into_rgb8().into(),
                    grey @ DynamicImage::ImageLumaA8(_) => grey.into_rgba8().into(),
                    other => other,
                };
                let mut out = Vec::new();
                let mut encoder = AvifEncoder::new_with_speed_quality(&mut out, AVIF_SPEED, quality)
                    .with_num_threads(Some(1));
                carry(&mut encoder, None, exif);
                write(encoder, &pixels).map_err(|error| unwritable(manner.codec, error))?;
                Ok(out)
            }
        }
    }
}

fn unwritable(codec: Codec, why: impl std::fmt::Display) -> Fault {
    Fault::Unwritable { format: codec.name(), why: why.to_string() }
}

fn write_png(
    pixels: &DynamicImage,
    compression: Option<u8>,
    icc: Option<Vec<u8>>,
    exif: Option<Vec<u8>>,
) -> Result<Vec<u8>, Fault> {
    let level = compression.map_or(png::CompressionType::Fast, png::CompressionType::Level);
    let mut out = Vec::new();
    let mut encoder = png::PngEncoder::new_with_quality(&mut out, level, png::FilterType::Adaptive);
    carry(&mut encoder, icc, exif);
    write(encoder, pixels).map_err(|error| unwritable(Codec::Png, error))?;
    Ok(out)
}

/// An encoder that cannot carry something leaves it out.
fn carry(encoder: &mut impl ImageEncoder, icc: Option<Vec<u8>>, exif: Option<Vec<u8>>) {
    if let Some(icc) = icc {
        let _ = encoder.set_icc_profile(icc);
    }
    if let Some(exif) = exif {
        let _ = encoder.set_exif_metadata(exif);
    }
}

fn write(encoder: impl ImageEncoder, pixels: &DynamicImage) -> Result<(), ImageError> {
    encoder.write_image(pixels.as_bytes(), pixels.width(), pixels.height(), pixels.color().into())
}

/// Eight bits a channel, for formats that have no more.
fn shallow(pixels: DynamicImage) -> DynamicImage {
    match pixels {
        DynamicImage::ImageLuma16(_) => pixels.into_luma8().into(),
        DynamicImage::ImageLumaA16(_) => pixels.into_luma_alpha8().into(),
        DynamicImage::ImageRgb16(_) => pixels.into_rgb8().into(),
        DynamicImage::ImageRgba16(_) => pixels.into_rgba8().into(),
        other => other,
    }
}

fn write_webp(pixels: DynamicImage, manner: &Manner, quality: u8) -> Result<Vec<u8>, Fault> {
    let lossless = manner.lossless;
    let (width, height) = (pixels.width(), pixels.height());
    if width.max(height) > WEBP_SIDE {
        let why = format!("it is {width} × {height}, and WebP has at most {WEBP_SIDE} on a side");
        return Err(unwritable(Codec::Webp, why));
    }
    let mut config =
        WebPConfig::new().map_err(|()| unwritable(Codec::Webp, "the library refuses to start"))?;
    config.lossless = i32::from(lossless);
    config.method = if lossless { WEBP_LOSSLESS_METHOD } else { WEBP_METHOD };
    // Of lossless files it is the effort.
    config.quality = if lossless { 25.0 } else { f32::from(quality) };
    // Colours that do not show are somebody's all the same.
    config.exact = i32::from(lossless);
    manner.webp.tune(&mut config, quality);
    let written = if pixels.color().has_alpha() {
        let pixels = pixels.into_rgba8();
        webp::Encoder::from_rgba(&pixels, width, height).encode_advanced(&config)
    } else {
        let pixels = pixels.into_rgb8();
        webp::Encoder::from_rgb(&pixels, width, height).encode_advanced(&config)
    };
    let written = written.map_err(|error| unwritable(Codec::Webp, format!("{error:?}")))?;
    Ok(written.to_vec())
}

/// Adds to a WebP file what its encoder does not.
fn tagged(data: Vec<u8>, icc: Option<Vec<u8>>, exif: Option<Vec<u8>>) -> Result<Vec<u8>, Fault> {
    if icc.is_none() && exif.is_none() {
        return Ok(data);
    }
    let mut file = WebP::from_bytes(data.into()).map_err(|error| unwritable(Codec::Webp, error))?;
    file.set_icc_profile(icc.map(Into::into));
    file.set_exif(exif.map(Into::into));
    Ok(file.encoder().bytes().to_vec())
}
