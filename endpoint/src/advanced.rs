//! Values that few callers set, checked against a table instead of a struct field each.

use crate::{
    DecodeLimits, Field, Kind, Seed, Slot,
    fault::ValueFault,
    slot::{self, Raw},
};

/// Values by position in a table of fields, kept as the JSON that the prompt is given.
#[derive(Debug, Clone, Default)]
pub struct Advanced {
    values: Vec<Option<Box<[u8]>>>,
}

impl Advanced {
    /// Takes a value for the field at `index` of the table, or says what is wrong with it.
    pub(crate) fn accept(
        &mut self,
        index: usize,
        field: &Field,
        raw: Raw<'_>,
        limits: &DecodeLimits,
    ) -> Result<(), ValueFault> {
        if matches!(raw, Raw::Json("null")) {
            return Ok(());
        }
        let mut json = Vec::new();
        match &field.kind {
            Kind::Text { .. } | Kind::Suggest { .. } | Kind::Model { .. } | Kind::Choice { .. } => {
                slot::plain(field, &raw)?.write(&mut json);
            }
            // A range may exceed 64 bits; the text of the number is what counts.
            Kind::Integer { .. } | Kind::NumberChoice { .. } => {
                json.extend_from_slice(slot::integer(field, &raw)?.to_string().as_bytes());
            }
            Kind::Float { .. } => slot::number(field, &raw)?.write(&mut json),
            Kind::Seed { .. } => Seed(slot::seed(field, &raw)?).write(&mut json),
            Kind::Boolean => {
                let mut value = false;
                value.accept(field, raw, limits)?;
                value.write(&mut json);
            }
            Kind::Loras { .. } => return Err(ValueFault::new("LoRAs are given at the top of the request")),
            Kind::Media { .. } => return Err(ValueFault::new("files are given at the top of the request")),
        }
        self.put(index, json);
        Ok(())
    }

    /// Sets a value that is not checked here; whoever decodes it does.
    pub(crate) fn set(&mut self, index: usize, value: &dyn Slot) {
        let mut json = Vec::new();
        value.write(&mut json);
        self.put(index, json);
    }

    /// Sets a seed.
    pub(crate) fn set_seed(&mut self, index: usize, seed: u64) {
        self.put(index, seed.to_string().into_bytes());
    }

    fn put(&mut self, index: usize, json: Vec<u8>) {
        if self.values.len() <= index {
            self.values.resize(index + 1, None);
        }
        self.values[index] = Some(json.into_boxed_slice());
    }

    /// The value at a position of the table, as JSON, if it was given.
    pub fn json(&self, index: usize) -> Option<&[u8]> {
        self.values.get(index)?.as_deref()
    }
}
