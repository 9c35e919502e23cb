//! Where decoded values are kept.

use std::fmt;

use crate::{
    Field, Kind, List, Media, Text,
    fault::{Allowed, ValueFault, nearest},
    media,
};

mod model;
mod numbers;
mod text;

/// A request: a place for each field. Derived for structs.
pub trait Request: Send + Sync + fmt::Debug {
    /// The value of a field.
    fn slot(&self, index: usize) -> &dyn Slot;

    /// The place for the value of a field.
    fn slot_mut(&mut self, index: usize) -> &mut dyn Slot;

    /// All files of the request, with their positions among the fields.
    fn all_media_mut(&mut self) -> Vec<(usize, &mut Media)>;

    /// The values under `advanced`, if the request has any.
    fn advanced(&self) -> Option<&crate::Advanced> {
        None
    }

    /// The place for values under `advanced`.
    fn advanced_mut(&mut self) -> Option<&mut crate::Advanced> {
        None
    }
}

/// A value as it was sent.
#[derive(Debug)]
pub enum Raw<'a> {
    /// JSON text of one value.
    Json(&'a str),
    /// A text part of a form.
    Text(&'a str),
    /// A file.
    File(Media),
}

/// The place of one value.
pub trait Slot: fmt::Debug {
    /// Takes a value, or says what is wrong with it.
    fn accept(&mut self, field: &Field, raw: Raw<'_>, limits: &crate::DecodeLimits)
    -> Result<(), ValueFault>;

    /// Whether a value was given.
    fn is_set(&self) -> bool;

    /// Appends the value as JSON. What is not set appends nothing.
    fn write(&self, out: &mut Vec<u8>);

    /// The file, if this is the place of one.
    fn media(&self) -> Option<&Media> {
        None
    }

    /// The file, if this is the place of one.
    fn media_mut(&mut self) -> Option<&mut Media> {
        None
    }

    /// The text, if this is the place of one.
    fn text(&self) -> Option<&str> {
        None
    }

    /// The text, if this is the place of one.
    fn text_mut(&mut self) -> Option<&mut String> {
        None
    }

    /// The LoRAs, if this is the place of some.
    fn loras(&self) -> Option<&[crate::Lora]> {
        None
    }

    /// The LoRAs, if this is the place of some.
    fn loras_mut(&mut self) -> Option<&mut [crate::Lora]> {
        None
    }

    /// Sets a seed.
    fn set_seed(&mut self, _seed: u64) {}
}

/// A list of options as a Rust enum. Derived.
pub trait Choice: Sized + fmt::Debug + Send + 'static {
    /// The options, in order.
    const OPTIONS: &'static [Text];

    /// The option with this text.
    fn from_option(option: &str) -> Option<Self>;

    /// The text of this option.
    fn as_option(&self) -> &'static str;
}

/// A seed: any `u64`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seed(pub u64);

impl<T: Slot + Default> Slot for Option<T> {
    fn accept(
        &mut self,
        field: &Field,
        raw: Raw<'_>,
        limits: &crate::DecodeLimits,
    ) -> Result<(), ValueFault> {
        let left_out = match raw {
            Raw::Json(text) => text == "null",
            Raw::Text(text) => {
                text.is_empty() && !matches!(field.kind, Kind::Text { .. } | Kind::Suggest { .. })
            }
            Raw::File(_) => false,
        };
        if left_out {
            return Ok(());
        }
        let mut value = T::default();
        value.accept(field, raw, limits)?;
        *self = Some(value);
        Ok(())
    }

    fn is_set(&self) -> bool {
        self.is_some()
    }

    fn write(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn media(&self) -> Option<&Media> {
        self.as_ref()?.media()
    }

    fn media_mut(&mut self) -> Option<&mut Media> {
        self.as_mut()?.media_mut()
    }

    fn text(&self) -> Option<&str> {
        self.as_ref()?.text()
    }

    fn text_mut(&mut self) -> Option<&mut String> {
        self.as_mut()?.text_mut()
    }

    fn loras(&self) -> Option<&[crate::Lora]> {
        self.as_ref()?.loras()
    }

    fn loras_mut(&mut self) -> Option<&mut [crate::Lora]> {
        self.as_mut()?.loras_mut()
    }

    fn set_seed(&mut self, seed: u64) {
        self.get_or_insert_default().set_seed(seed);
    }
}

impl Slot for bool {
    fn accept(&mut self, field: &Field, raw: Raw<'_>, _: &crate::DecodeLimits) -> Result<(), ValueFault> {
        *self = match raw {
            Raw::Json("true") | Raw::Text("true" | "1" | "on" | "yes") => true,
            Raw::Json("false") | Raw::Text("false" | "0" | "off" | "no") => false,
            _ => return Err(ValueFault::expected(&field.kind)),
        };
        Ok(())
    }

    fn is_set(&self) -> bool {
        true
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

/// Implements [`Slot`] for an enum of options; used by the derive.
#[doc(hidden)]
#[macro_export]
macro_rules! choice_slot {
    ($name:ty, $first:expr) => {
        impl ::core::default::Default for $name {
            fn default() -> Self {
                $first
            }
        }
        impl $crate::Slot for $name {
            fn accept(
                &mut self,
                field: &$crate::Field,
                raw: $crate::Raw<'_>,
                _: &$crate::DecodeLimits,
            ) -> ::core::result::Result<(), $crate::__private::ValueFault> {
                let text = $crate::__private::choice(field, raw)?;
                match <Self as $crate::Choice>::from_option(&text) {
                    ::core::option::Option::Some(option) => *self = option,
                    ::core::option::Option::None => {
                        return ::core::result::Result::Err($crate::__private::not_an_option(
                            &text,
                            &$crate::List::Static(<Self as $crate::Choice>::OPTIONS),
                        ));
                    }
                }
                ::core::result::Result::Ok(())
            }
            fn is_set(&self) -> bool {
                true
            }
            fn write(&self, out: &mut ::std::vec::Vec<u8>) {
                $crate::__private::write_text($crate::Choice::as_option(self), out);
            }
        }
    };
}

/// The text of an option.
pub fn choice(field: &Field, raw: Raw<'_>) -> Result<String, ValueFault> {
    match raw {
        Raw::Json(json) => text::decode(json).map_err(|_| ValueFault::expected(&field.kind)),
        Raw::Text(text) => Ok(text.to_owned()),
        Raw::File(_) => Err(ValueFault::expected(&field.kind)),
    }
}

/// A text that is none of the options.
pub fn not_an_option(text: &str, options: &List<Text>) -> ValueFault {
    let mut fault = ValueFault::new("is not one of the options").allowed(Allowed::Options(options.clone()));
    fault.did_you_mean = nearest(options.iter().map(|option| &**option), text);
    fault
}

pub use text::write_text;

impl Slot for Media {
    fn accept(
        &mut self,
        field: &Field,
        raw: Raw<'_>,
        limits: &crate::DecodeLimits,
    ) -> Result<(), ValueFault> {
        *self = media::read(field, raw, limits)?;
        Ok(())
    }

    fn is_set(&self) -> bool {
        !self.is_empty()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_text(self.engine_value.as_deref().unwrap_or_default(), out);
    }

    fn media(&self) -> Option<&Media> {
        Some(self)
    }

    fn media_mut(&mut self) -> Option<&mut Media> {
        Some(self)
    }
}

pub(crate) use model::name as model_name;
pub(crate) use numbers::{integer, number, seed};
pub(crate) use text::plain;
