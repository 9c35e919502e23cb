//! Numbers, exact and within their range.

use std::io::Write;

use super::{Raw, Seed, Slot};
use crate::{
    DecodeLimits, Field, Kind,
    fault::{Allowed, ValueFault},
};

/// The text of a number, from JSON or from a form.
fn lexeme<'a>(field: &Field, raw: &Raw<'a>) -> Result<&'a str, ValueFault> {
    let text = match raw {
        Raw::Json(text) => *text,
        Raw::Text(text) => text.trim(),
        Raw::File(_) => return Err(ValueFault::expected(&field.kind)),
    };
    let number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if number { Ok(text) } else { Err(ValueFault::expected(&field.kind)) }
}

/// A whole number, written `20` or `20.0`.
fn whole(text: &str) -> Option<i128> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        // Digits alone that do not fit: beyond any range.
        return Some(if text.starts_with('-') { i128::MIN } else { i128::MAX });
    }
    let value: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i128)
}

fn out_of_range(min: &impl ToString, max: &impl ToString) -> ValueFault {
    let (min, max) = (min.to_string(), max.to_string());
    ValueFault::new(format!("must be between {min} and {max}")).allowed(Allowed::Range { min, max })
}

/// Reads a whole number of a field.
pub(crate) fn integer(field: &Field, raw: &Raw<'_>) -> Result<i128, ValueFault> {
    let text = lexeme(field, raw)?;
    let value = whole(text).ok_or_else(|| ValueFault::expected(&field.kind))?;
    match &field.kind {
        Kind::Integer { min, max } if value < *min || value > *max => Err(out_of_range(min, max)),
        Kind::NumberChoice { options } if !options.iter().any(|option| i128::from(*option) == value) => {
            Err(ValueFault::new("is not one of the options").allowed(Allowed::Numbers(options.clone())))
        }
        _ => Ok(value),
    }
}

/// Reads a number of a field.
pub(crate) fn number(field: &Field, raw: &Raw<'_>) -> Result<f64, ValueFault> {
    let value: f64 = lexeme(field, raw)?.parse().map_err(|_| ValueFault::expected(&field.kind))?;
    match field.kind {
        Kind::Float { min, max } if !(value >= min && value <= max) => Err(out_of_range(&min, &max)),
        _ if !value.is_finite() => Err(ValueFault::new("is too large")),
        _ => Ok(value),
    }
}

/// Reads a seed of a field.
pub(crate) fn seed(field: &Field, raw: &Raw<'_>) -> Result<u64, ValueFault> {
    let text = lexeme(field, raw)?;
    let value = whole(text).ok_or_else(|| ValueFault::expected(&field.kind))?;
    let (min, max) = if let Kind::Seed { min, max } = field.kind { (min, max) } else { (0, u64::MAX) };
    if value < 0 {
        let fault = out_of_range(&min, &max);
        return Err(ValueFault {
            message: format!("{}; leave it out for a random one", fault.message),
            ..fault
        });
    }
    u64::try_from(value)
        .ok()
        .filter(|seed| (min..=max).contains(seed))
        .ok_or_else(|| out_of_range(&min, &max))
}

macro_rules! integer_slot {
    ($($ty:ty),*) => {$(
        impl Slot for $ty {
            fn accept(&mut self, field: &Field, raw: Raw<'_>, _: &DecodeLimits) -> Result<(), ValueFault> {
                let value = integer(field, &raw)?;
                *self = value.try_into().map_err(|_| out_of_range(&<$ty>::MIN, &<$ty>::MAX))?;
                Ok(())
            }

            fn is_set(&self) -> bool {
                true
            }

            fn write(&self, out: &mut Vec<u8>) {
                // Writing to a vector does not fail.
                let _ = write!(out, "{self}");
            }
        }
    )*};
}

integer_slot!(i32, i64, u32, u64);

impl Slot for f64 {
    fn accept(&mut self, field: &Field, raw: Raw<'_>, _: &DecodeLimits) -> Result<(), ValueFault> {
        *self = number(field, &raw)?;
        Ok(())
    }

    fn is_set(&self) -> bool {
        true
    }

    fn write(&self, out: &mut Vec<u8>) {
        // Debug keeps the `.0`, which tells a float from an integer; writing to a vector does not fail.
        let _ = write!(out, "{self:?}");
    }
}

impl Slot for Seed {
    fn accept(&mut self, field: &Field, raw: Raw<'_>, _: &DecodeLimits) -> Result<(), ValueFault> {
        self.0 = seed(field, &raw)?;
        Ok(())
    }

    fn is_set(&self) -> bool {
        true
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn set_seed(&mut self, seed: u64) {
        self.0 = seed;
    }
}
