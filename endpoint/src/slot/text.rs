//! Text, within bounds.

use super::{Raw, Slot, model};
use crate::{
    DecodeLimits, Field, Kind, address,
    fault::{Allowed, ValueFault},
};

/// Decodes a JSON string.
pub(crate) fn decode(json: &str) -> Result<String, serde_json::Error> {
    serde_json::from_str(json)
}

/// Appends a JSON string literal.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing a string to a vector does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Reads the text of a field.
pub(crate) fn plain(field: &Field, raw: &Raw<'_>) -> Result<String, ValueFault> {
    let text = match raw {
        Raw::Json(json) if json.starts_with('"') => {
            decode(json).map_err(|_| ValueFault::new("has an escape that is not a character"))?
        }
        Raw::Text(text) => (*text).to_owned(),
        Raw::Json(_) | Raw::File(_) => return Err(ValueFault::expected(&field.kind)),
    };
    if let Kind::Model { from_url, .. } = field.kind
        && address::is_one(&text)
    {
        return if from_url { model::read_address(&text) } else { Err(model::no_address()) };
    }
    let longest = if let Kind::Text { max_length } = field.kind { max_length } else { 1000 };
    if text.len() > longest && text.chars().count() > longest {
        let fault = ValueFault::new(format!("must have at most {longest} characters"));
        return Err(fault.allowed(Allowed::MaxLength(longest)));
    }
    if text.contains('\0') {
        return Err(ValueFault::new("must not contain a NUL character"));
    }
    match &field.kind {
        Kind::Model { .. } => model::name(&text).map(|()| text),
        Kind::Choice { options } if !options.iter().any(|option| **option == *text) => {
            Err(super::not_an_option(&text, options))
        }
        _ => Ok(text),
    }
}

impl Slot for String {
    fn accept(&mut self, field: &Field, raw: Raw<'_>, _: &DecodeLimits) -> Result<(), ValueFault> {
        *self = plain(field, &raw)?;
        Ok(())
    }

    fn is_set(&self) -> bool {
        true
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_text(self, out);
    }

    fn text(&self) -> Option<&str> {
        Some(self)
    }

    fn text_mut(&mut self) -> Option<&mut String> {
        Some(self)
    }
}
