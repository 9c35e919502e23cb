//! The prompt, cut beforehand into constant text and holes.

use crate::{Endpoint, Kind, List, Request, Text, slot::write_text};

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
        /// The position of a field: a file is on where it is given, anything else where it is true.
        switch: u16,
        /// Where it is on.
        on: List<Piece>,
        /// Where it is off.
        off: List<Piece>,
    },
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
                let slot = request.slot(index);
                if slot.is_set() {
                    slot.write(out);
                } else {
                    write_default(endpoint.fields[index].default.as_deref(), out);
                }
            }
            Piece::Advanced(index) => {
                let index = usize::from(*index);
                match request.advanced().and_then(|advanced| advanced.json(index)) {
                    Some(json) => out.extend_from_slice(json),
                    None => write_default(endpoint.advanced[index].default.as_deref(), out),
                }
            }
            // Ids such as `57:41` would be odd in a file name.
            Piece::Prefix(node) => {
                write_text(&format!("{prefix}/{}", node.replace([':', '/', '\\', '.'], "-")), out);
            }
            Piece::When { switch, on, off } => {
                let chosen = if is_on(endpoint, request, usize::from(*switch)) { on } else { off };
                write_pieces(chosen, endpoint, request, prefix, out);
            }
        }
    }
}

fn is_on(endpoint: &Endpoint, request: &dyn Request, index: usize) -> bool {
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
    json == b"true"
}

fn write_default(default: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(default.unwrap_or("null").as_bytes());
}
