//! A picture in another format or size.

use serde::{Deserialize, Serialize};

use crate::{
    Codec, Colour, Fault, Fit, Format, Header, Limits, MemberFault, Picture, Resize, Webp, Wish,
    encode::Manner,
};

/// Whether what cameras and programs wrote into a file goes with it. Colour profiles do either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metadata {
    /// It is left out.
    #[default]
    Strip,
    /// It goes with it as far as the format can carry it.
    Keep,
}

/// Another format or size for a picture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object")]
pub struct Conversion {
    /// Its own, if nothing is said, or PNG for those that are not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Codec>,
    /// 1 to 100, for formats that lose something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
    /// Whether nothing may be lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lossless: Option<bool>,
    /// 1 (quick) to 9 (small), of PNG files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<u8>,
    /// How WebP files are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webp: Option<Webp>,
    /// What transparent pictures are laid on where the format has no transparency: JPEG.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Colour>,
    /// Another size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
}

/// A small picture beside a large one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object with `width`, `height` or both")]
pub struct Thumbnail {
    /// At most so wide, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// At most so high, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// WebP, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Codec>,
}

/// A picture that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The file.
    pub data: Vec<u8>,
    /// Its format.
    pub codec: Codec,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

impl Wish {
    /// Makes a picture as it is wished for, turned the right way, without loss: a PNG file.
    pub fn make(&self, data: &[u8], limits: &Limits) -> Result<Made, Fault> {
        let picture = Picture::decode(data, limits)?.shaped(self, limits)?;
        let manner = Manner {
            codec: Codec::Png,
            quality: None,
            lossless: true,
            webp: Webp::default(),
            compression: None,
            background: Colour::WHITE,
            metadata: Metadata::Strip,
        };
        picture.made(&manner, limits)
    }
}

impl Conversion {
    /// Into a format, and nothing else.
    pub fn to(codec: Codec) -> Self {
        Self { format: Some(codec), ..Self::default() }
    }

    /// Whether a still picture of this format would become another file by it.
    pub fn changes(&self, format: Format) -> bool {
        let same = match self.format {
            None => true,
            Some(codec) => {
                Codec::of(format) == codec && !matches!(format, Format::Gif | Format::Bmp | Format::Tiff)
            }
        };
        let bare = Self { format: self.format, ..Self::default() };
        !same || *self != bare
    }

    /// Converts a still picture. The header says beforehand whether it is one.
    pub fn make(&self, data: &[u8], metadata: Metadata, limits: &Limits) -> Result<Made, Fault> {
        self.of(Picture::decode(data, limits)?, metadata, limits)
    }

    fn of(&self, picture: Picture, metadata: Metadata, limits: &Limits) -> Result<Made, Fault> {
        let codec = self.format.unwrap_or_else(|| Codec::of(picture.format));
        let picture = match &self.resize {
            None => picture,
            Some(_) => picture.shaped(&Wish { resize: self.resize.clone(), ..Wish::default() }, limits)?,
        };
        let manner = Manner {
            codec,
            quality: self.quality,
            lossless: self.lossless.unwrap_or(false),
            webp: self.webp.clone().unwrap_or_default(),
            compression: self.compression,
            background: self.background.unwrap_or(Colour::WHITE),
            metadata,
        };
        picture.made(&manner, limits)
    }

    pub(crate) fn faults(&self, side: u32) -> Vec<MemberFault> {
        let mut faults = Vec::new();
        let mut wrong = |member: &str, message: String| faults.push(MemberFault::new(&[member], message));
        if self.quality.is_some_and(|quality| !(1..=100).contains(&quality)) {
            wrong("quality", "must be a whole number from 1 to 100".to_owned());
        }
        if self.quality.is_some() && (self.lossless == Some(true) || self.format == Some(Codec::Png)) {
            wrong("quality", "has no meaning where nothing is lost".to_owned());
        }
        if self.lossless == Some(true) && matches!(self.format, Some(Codec::Jpeg | Codec::Avif)) {
            wrong("lossless", "is for PNG and WebP".to_owned());
        }
        if self.compression.is_some_and(|level| !(1..=9).contains(&level)) {
            wrong("compression", "must be a whole number from 1 to 9".to_owned());
        }
        if self.compression.is_some() && self.format.is_some_and(|codec| codec != Codec::Png) {
            wrong("compression", "is for PNG".to_owned());
        }
        if let Some(webp) = &self.webp {
            if self.format != Some(Codec::Webp) {
                faults.push(MemberFault::new(&["webp"], "is for WebP"));
            }
            if webp.effort.is_some_and(|effort| effort > 6) {
                faults.push(MemberFault::new(&["webp", "effort"], "must be a whole number from 0 to 6"));
            }
            if webp.alpha_quality.is_some_and(|quality| !(1..=100).contains(&quality)) {
                let message = "must be a whole number from 1 to 100";
                faults.push(MemberFault::new(&["webp", "alpha_quality"], message));
            }
        }
        if let Some(resize) = &self.resize {
            faults.extend(resize.faults(&["resize"], side));
        }
        faults
    }
}

impl Thumbnail {
    /// Makes it, of the first frame of what moves.
    pub fn make(&self, data: &[u8], limits: &Limits) -> Result<Made, Fault> {
        Header::read(data, limits)?;
        let conversion = Conversion {
            format: Some(self.format.unwrap_or(Codec::Webp)),
            resize: Some(self.size()),
            ..Conversion::default()
        };
        conversion.of(Picture::decode_first(data, limits)?, Metadata::Strip, limits)
    }

    fn size(&self) -> Resize {
        Resize { width: self.width, height: self.height, fit: Fit::Inside, ..Resize::default() }
    }

    pub(crate) fn faults(&self, side: u32) -> Vec<MemberFault> {
        self.size().faults(&[], side)
    }
}

impl Picture {
    fn made(self, manner: &Manner, limits: &Limits) -> Result<Made, Fault> {
        let (codec, width, height) = (manner.codec, self.width(), self.height());
        Ok(Made { data: self.encode(manner, limits)?, codec, width, height })
    }
}
