//! The prompt, cut beforehand into constant text and holes.

use std::io::Write;

use crate::{Endpoint, Field, Kind, List, Lora, Request, Text, decode::told, slot::write_text};

/// A prompt in API format with holes for values.
#[derive(Debug, Clone)]
pub struct Template {
    /// Text and holes, in order.
    pub pieces: List<Piece>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// JSON text that is the same for every request.
    Text(Text),
    /// The value of a field of the request.
    Field(u16),
    /// The value of a field of `advanced`.
    Advanced(u16),
    /// The file name prefix of this output node.
    Prefix(Text),
    /// What is there only in one state of a switch.
    When {
        /// The position of a field: a file is on where it is given, LoRAs where there are some, a truth value where it
        /// is true.
        switch: u16,
        /// Where it is on.
        on: List<Piece>,
        /// Where it is off.
        off: List<Piece>,
    },
    /// What is there only where a field is given, or only where it is left out.
    Given {
        /// The position of the field.
        field: u16,
        /// Where it is given.
        yes: List<Piece>,
        /// Where it is left out.
        no: List<Piece>,
    },
    /// A loader for each of the LoRAs that were given, one after the other, each after a comma.
    Loras {
        /// The position of the field.
        field: u16,
        /// The id of the last loader, which is what the rest of the graph takes its model from.
        last: Text,
        /// The class of the loaders.
        class_type: Text,
        /// What the first one takes its model from, as JSON.
        model: Text,
        /// What the first one takes its text encoder from, as JSON, if the class has one.
        clip: Option<Text>,
    },
    /// What is there only where a list of LoRAs has one at this position, or only where it is shorter or left out.
    Listed {
        /// The position of the field.
        field: u16,
        /// The position in the list.
        item: u16,
        /// Where there is one.
        yes: List<Piece>,
        /// Where there is none.
        no: List<Piece>,
    },
    /// A property of a listed LoRA.
    Lora {
        /// The position of the field.
        field: u16,
        /// The position in the list.
        item: u16,
        /// Which property.
        part: LoraPart,
    },
}

/// A property of a listed LoRA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoraPart {
    /// The file.
    Name,
    /// The strength for the diffusion model.
    Strength,
    /// The strength for the text encoder; that for the diffusion model where it was left out.
    StrengthClip,
}

impl Template {
    /// Appends the prompt as JSON. Every output node saves under `<prefix>/<node>`.
    pub(crate) fn write(&self, endpoint: &Endpoint, request: &dyn Request, prefix: &str, out: &mut Vec<u8>) {
        write_pieces(&self.pieces, endpoint, request, prefix, out);
    }
}

fn write_pieces(
    pieces: &List<Piece>,
    endpoint: &Endpoint,
    request: &dyn Request,
    prefix: &str,
    out: &mut Vec<u8>,
) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Field(index) => {
                let index = usize::from(*index);
                let (slot, field) = (request.slot(index), &endpoint.fields[index]);
                match slot.text().and_then(|text| told(field, text)) {
                    Some(file) => write_text(&file, out),
                    None if slot.is_set() => slot.write(out),
                    None => write_default(field.default.as_deref(), out),
                }
            }
            Piece::Advanced(index) => {
                let index = usize::from(*index);
                let field = &endpoint.advanced[index];
                match request.advanced().and_then(|advanced| advanced.json(index)) {
                    Some(json) => write_advanced(field, json, out),
                    None => write_default(field.default.as_deref(), out),
                }
            }
            // Ids such as `57:41` would be odd in a file name.
            Piece::Prefix(node) => {
                write_text(&format!("{prefix}/{}", node.replace([':', '/', '\\', '.'], "-")), out);
            }
            Piece::Given { field, yes, no } => {
                let chosen = if request.slot(usize::from(*field)).is_set() { yes } else { no };
                write_pieces(chosen, endpoint, request, prefix, out);
            }
            Piece::Loras { field, last, class_type, model, clip } => {
                if let Some(loras) = request.slot(usize::from(*field)).loras() {
                    write_loras(loras, last, class_type, (model, clip.as_deref()), out);
                }
            }
            Piece::Listed { field, item, yes, no } => {
                let chosen = if listed(request, *field, *item).is_some() { yes } else { no };
                write_pieces(chosen, endpoint, request, prefix, out);
            }
            Piece::Lora { field, item, part } => {
                if let Some(lora) = listed(request, *field, *item) {
                    write_part(lora, *part, out);
                }
            }
            Piece::When { switch, on, off } => {
                let chosen = if is_on(endpoint, request, usize::from(*switch)) { on } else { off };
                write_pieces(chosen, endpoint, request, prefix, out);
            }
        }
    }
}

/// A value of `advanced`; of a model that is told by its address, the file.
fn write_advanced(field: &Field, json: &[u8], out: &mut Vec<u8>) {
    let text = || serde_json::from_slice::<String>(json).ok();
    let is_model = matches!(field.kind, Kind::Model { .. });
    match is_model.then(text).flatten().and_then(|text| told(field, &text)) {
        Some(file) => write_text(&file, out),
        None => out.extend_from_slice(json),
    }
}

fn listed(request: &dyn Request, field: u16, item: u16) -> Option<&Lora> {
    request.slot(usize::from(field)).loras()?.get(usize::from(item))
}

fn write_part(lora: &Lora, part: LoraPart, out: &mut Vec<u8>) {
    let strength = match part {
        LoraPart::Name => return write_text(lora.file(), out),
        LoraPart::Strength => lora.strength,
        LoraPart::StrengthClip => lora.strength_clip.unwrap_or(lora.strength),
    };
    // Writing to a vector does not fail.
    let _ = write!(out, "{strength:?}");
}

fn write_loras(
    loras: &[Lora],
    last: &str,
    class_type: &str,
    (model, clip): (&str, Option<&str>),
    out: &mut Vec<u8>,
) {
    let text = |text: &str| {
        let mut json = Vec::new();
        write_text(text, &mut json);
        String::from_utf8(json).unwrap_or_default()
    };
    let class = text(class_type);
    let (mut model, mut clip) = (model.to_owned(), clip.map(str::to_owned));
    for (index, lora) in loras.iter().enumerate() {
        // The graph goes on from the last one, under its own id.
        let is_last = index + 1 == loras.len();
        let id = text(&if is_last { last.to_owned() } else { format!("{last}.lora{index}") });
        let (name, strength) = (text(lora.file()), lora.strength);
        let node = format!(
            ",{id}:{{\"inputs\":{{\"lora_name\":{name},\"strength_model\":{strength:?},\"model\":{model}"
        );
        out.extend_from_slice(node.as_bytes());
        if let Some(clip) = &mut clip {
            let strength = lora.strength_clip.unwrap_or(strength);
            out.extend_from_slice(format!(",\"strength_clip\":{strength:?},\"clip\":{clip}").as_bytes());
            *clip = format!("[{id},1]");
        }
        out.extend_from_slice(format!("}},\"class_type\":{class}}}").as_bytes());
        model = format!("[{id},0]");
    }
}

/// Whether the nodes that belong to a field are there.
pub(crate) fn is_on(endpoint: &Endpoint, request: &dyn Request, index: usize) -> bool {
    let (slot, field) = (request.slot(index), &endpoint.fields[index]);
    if matches!(field.kind, Kind::Media { .. }) {
        return slot.is_set();
    }
    let mut json = Vec::new();
    if slot.is_set() {
        slot.write(&mut json);
    } else {
        write_default(field.default.as_deref(), &mut json);
    }
    match field.kind {
        Kind::Loras { .. } => json != b"[]",
        _ => json == b"true",
    }
}

fn write_default(default: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(default.unwrap_or("null").as_bytes());
}
