//! Colours as callers write them.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// An opaque colour: `"white"`, `"black"` or `"#rrggbb"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// Where nothing else is said, transparent pictures are laid on it.
    pub const WHITE: Self = Self([255; 3]);
    /// Where nothing else is said, it fills what a picture leaves free.
    pub const BLACK: Self = Self([0; 3]);

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "white" => return Some(Self::WHITE),
            "black" => return Some(Self::BLACK),
            _ => {}
        }
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        // A sign would be taken for a digit.
        let number = digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(digits)?;
        let [_, red, green, blue] = u32::from_str_radix(number, 16).ok()?.to_be_bytes();
        Some(Self([red, green, blue]))
    }
}

impl std::fmt::Display for Colour {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self([red, green, blue]) = self;
        write!(formatter, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl Serialize for Colour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom("must be `white`, `black` or a colour as `#rrggbb`"))
    }
}
