//! LoRAs: small files that change a model, applied one after the other.

use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    DecodeLimits, Field, Kind, Raw, Slot, address,
    fault::{Allowed, ValueFault},
    slot::{model_name, write_text},
};

/// How the names of LoRA files end.
const ENDINGS: &[&str] = &[".safetensors", ".sft", ".pt", ".ckpt", ".bin"];

/// One LoRA. It has a name or a URL; of both, the name counts.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// The file, with `/` between folders.
    pub name: Option<String>,
    /// Where the file comes from: an http or https address of at most 2048 bytes whose path ends in the file's name.
    /// The engine's own file of that name is used, whatever folder it is in; it is fetched only where the workflow has
    /// it so.
    ///
    /// In a request that was read it is there only if no name was given. Then it has no query, which may hold a
    /// secret, and `name` is the file name in it until the engine's file is known.
    pub url: Option<String>,
    /// How strongly it changes the diffusion model; 1 is as it was trained.
    #[serde(default = "one")]
    pub strength: f64,
    /// How strongly it changes the text encoder, where the workflow's loader does; as `strength` where left out.
    pub strength_clip: Option<f64>,
}

impl Lora {
    /// A file of the engine, with `/` between folders, as strong as it was trained.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), url: None, strength: one(), strength_clip: None }
    }

    /// The engine's file with the name that ends this address, as strong as it was trained.
    pub fn from_url(url: impl Into<String>) -> Self {
        Self { name: None, url: Some(url.into()), strength: one(), strength_clip: None }
    }

    /// The file for the engine.
    pub(crate) fn file(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Checks what says which file it is, and leaves of a URL what is needed.
    fn settle(&mut self) -> Result<(), ValueFault> {
        let read = |url: String| address::read(&url, ENDINGS).map_err(|fault| fault.about("`url` "));
        match (&self.name, self.url.take().map(read).transpose()?) {
            (Some(name), _) => model_name(name),
            (None, Some(address)) => {
                let file = address.file.ok_or_else(|| {
                    let endings = ENDINGS.join(", ");
                    ValueFault::new(format!(
                        "`url` does not end in the name of a LoRA file ({endings}): give `name` as well"
                    ))
                })?;
                model_name(&file)?;
                (self.name, self.url) = (Some(file), Some(address.text));
                Ok(())
            }
            (None, None) => Err(ValueFault::new("give `name` or `url`")),
        }
    }
}

/// Signed addresses stay out of logs.
impl std::fmt::Debug for Lora {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.url.as_ref().map(|_| "a URL");
        formatter
            .debug_struct("Lora")
            .field("name", &self.name)
            .field("url", &url)
            .field("strength", &self.strength)
            .field("strength_clip", &self.strength_clip)
            .finish()
    }
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
            let mut lora: Lora = serde_json::from_str(item.get())
                .map_err(|error| ValueFault::new(format!("item {index}: {}", plain(&error))))?;
            let own = |fault: ValueFault| fault.about(&format!("item {index}: "));
            lora.settle().map_err(own)?;
            if lora.strength_clip.is_some() && !clip {
                return Err(own(ValueFault::new(
                    "this workflow has no strength of its own for the text encoder: leave out `strength_clip`",
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
            out.push(b'{');
            for (key, text) in [("name", &lora.name), ("url", &lora.url)] {
                if let Some(text) = text {
                    write_text(key, out);
                    out.push(b':');
                    write_text(text, out);
                    out.push(b',');
                }
            }
            // Writing to a vector does not fail.
            let _ = write!(out, "\"strength\":{:?}", lora.strength);
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

    fn loras_mut(&mut self) -> Option<&mut [Lora]> {
        Some(&mut self.0)
    }
}

/// serde's words without the place in a text that callers do not see.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
