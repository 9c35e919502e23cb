//! LoRAs: small files that change a model, applied one after the other.

use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    DecodeLimits, Field, Kind, Raw, Slot,
    fault::{Allowed, ValueFault},
    slot::{model_name, write_text},
};

/// One LoRA.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// The file, with `/` between folders.
    pub name: String,
    /// How strongly it changes the diffusion model; 1 is as it was trained.
    #[serde(default = "one")]
    pub strength: f64,
    /// How strongly it changes the text encoder, where the workflow's loader does; as `strength` where left out.
    pub strength_clip: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// LoRAs in the order in which they are applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loras(pub Vec<Lora>);

impl Slot for Loras {
    fn accept(&mut self, field: &Field, raw: Raw<'_>, _: &DecodeLimits) -> Result<(), ValueFault> {
        let text = match raw {
            Raw::Json(text) | Raw::Text(text) => text,
            Raw::File(_) => return Err(ValueFault::expected(&field.kind)),
        };
        let items: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|_| ValueFault::expected(&field.kind))?;
        let Kind::Loras { most, clip, min, max, .. } = field.kind else {
            return Err(ValueFault::expected(&field.kind));
        };
        if items.len() > most {
            return Err(ValueFault::new(format!("must have at most {most} items")));
        }
        let mut loras = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let lora: Lora = serde_json::from_str(item.get())
                .map_err(|error| ValueFault::new(format!("item {index}: {}", plain(&error))))?;
            let own = |fault: ValueFault| ValueFault {
                message: format!("item {index}: {}", fault.message),
                ..fault
            };
            model_name(&lora.name).map_err(own)?;
            if lora.strength_clip.is_some() && !clip {
                return Err(own(ValueFault::new(
                    "this workflow applies LoRAs to the model only: leave out `strength_clip`",
                )));
            }
            for strength in [Some(lora.strength), lora.strength_clip].into_iter().flatten() {
                if !(strength >= min && strength <= max) {
                    let (min, max) = (min.to_string(), max.to_string());
                    let fault = ValueFault::new(format!("a strength must be between {min} and {max}"));
                    return Err(own(fault.allowed(Allowed::Range { min, max })));
                }
            }
            loras.push(lora);
        }
        self.0 = loras;
        Ok(())
    }

    fn is_set(&self) -> bool {
        true
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, lora) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"name\":");
            write_text(&lora.name, out);
            // Writing to a vector does not fail.
            let _ = write!(out, ",\"strength\":{:?}", lora.strength);
            if let Some(strength) = lora.strength_clip {
                let _ = write!(out, ",\"strength_clip\":{strength:?}");
            }
            out.push(b'}');
        }
        out.push(b']');
    }

    fn loras(&self) -> Option<&[Lora]> {
        Some(&self.0)
    }
}

/// serde's words without the place in a text that callers do not see.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
