//! How a picture is to be changed before it is used.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{Colour, MemberFault, colour};

/// How a picture is to be changed: cut, then resized, then its transparency seen to. It was turned the right way before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object")]
pub struct Wish {
    /// Another size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// A part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// What becomes of transparency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Alpha>,
    /// Whether a mask is to be made of its transparency: what is transparent is marked.
    ///
    /// What comes out is transparent where it is marked and white there, black and opaque elsewhere. ComfyUI's
    /// `LoadImage` and `LoadImageMask` make the same mask of it, whatever channel the latter is set to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mask_from_alpha: bool,
}

/// Another size. One of width and height, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object with `width`, `height` or both")]
pub struct Resize {
    /// In pixels. Without it, what the height leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// In pixels. Without it, what the width leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// What becomes of proportions.
    pub fit: Fit,
    /// What is kept where something is cut off, and where the picture goes where something is left free.
    pub position: Position,
    /// What fills that which is left free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
    /// Whether a smaller picture is enlarged. Without it: not with [`Fit::Inside`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upscale: Option<bool>,
}

/// What becomes of proportions when both sides are given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// At most as wide and as high as said, with its proportions.
    #[default]
    Inside,
    /// As large as said, the whole picture in it, what is left free filled.
    Contain,
    /// As large as said, what does not fit cut off.
    Cover,
    /// As large as said, stretched.
    Fill,
}

/// A place in a rectangle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is named after its place")]
pub enum Position {
    #[default]
    Center,
    Top,
    Bottom,
    Left,
    Right,
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

impl Position {
    /// How much of what is free or cut off lies before the picture: 0 none, 1 all of it.
    pub(crate) fn shares(self) -> (f64, f64) {
        match self {
            Self::Center => (0.5, 0.5),
            Self::Top => (0.5, 0.0),
            Self::Bottom => (0.5, 1.0),
            Self::Left => (0.0, 0.5),
            Self::Right => (1.0, 0.5),
            Self::TopLeft => (0.0, 0.0),
            Self::TopRight => (1.0, 0.0),
            Self::BottomLeft => (0.0, 1.0),
            Self::BottomRight => (1.0, 1.0),
        }
    }
}

/// What fills that which a picture leaves free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Background {
    /// Nothing.
    Transparent,
    /// A colour.
    Opaque(Colour),
}

impl Serialize for Background {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Transparent => serializer.serialize_str("transparent"),
            Self::Opaque(colour) => colour.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Background {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        if text == "transparent" {
            return Ok(Self::Transparent);
        }
        colour::Colour::parse(&text).map(Self::Opaque).ok_or_else(|| {
            D::Error::custom("must be `transparent`, `white`, `black` or a colour as `#rrggbb`")
        })
    }
}

/// A part of a picture, in pixels of the picture as it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `x`, `y`, `width` and `height`")]
#[expect(missing_docs, reason = "a rectangle")]
pub struct Crop {
    #[serde(default)]
    pub x: u32,
    #[serde(default)]
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// What becomes of transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alpha {
    /// It stays.
    Keep,
    /// It is forgotten: what was invisible shows.
    Drop,
    /// The picture is laid on a colour.
    On(Colour),
}

impl Serialize for Alpha {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep => serializer.serialize_str("keep"),
            Self::Drop => serializer.serialize_str("drop"),
            Self::On(colour) => colour.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Alpha {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        match &*text {
            "keep" => Ok(Self::Keep),
            "drop" => Ok(Self::Drop),
            other => Colour::parse(other).map(Self::On).ok_or_else(|| {
                D::Error::custom("must be `keep`, `drop`, `white`, `black` or a colour as `#rrggbb`")
            }),
        }
    }
}

impl Wish {
    /// Names of its members.
    pub const MEMBERS: [&'static str; 4] = ["resize", "crop", "alpha", "mask_from_alpha"];

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn faults(&self, side: u32) -> Vec<MemberFault> {
        let mut faults = Vec::new();
        if let Some(resize) = &self.resize {
            faults.extend(resize.faults(&["resize"], side));
        }
        if let Some(crop) = &self.crop
            && (crop.width == 0 || crop.height == 0)
        {
            faults.push(MemberFault::new(&["crop"], "must be at least one pixel wide and high"));
        }
        if self.mask_from_alpha && self.alpha.is_some() {
            let message = "cannot go with `mask_from_alpha`: the mask is all that is left of it";
            faults.push(MemberFault::new(&["alpha"], message));
        }
        faults
    }
}

impl Resize {
    pub(crate) fn faults(&self, at: &[&str], side: u32) -> Vec<MemberFault> {
        if self.width.is_none() && self.height.is_none() {
            return vec![MemberFault::new(at, "must have `width`, `height` or both")];
        }
        let mut faults = Vec::new();
        for (name, length) in [("width", self.width), ("height", self.height)] {
            if length.is_some_and(|length| !(1..=side).contains(&length)) {
                let message = format!("must be a whole number from 1 to {side}");
                faults.push(MemberFault::new(&[at, &[name]].concat(), message));
            }
        }
        let both = self.width.is_some() && self.height.is_some();
        if !both && self.fit != Fit::Inside {
            let message = "needs both `width` and `height`";
            faults.push(MemberFault::new(&[at, &["fit"]].concat(), message));
        }
        faults
    }
}
