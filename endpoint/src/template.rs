//! The prompt, cut beforehand into constant text and holes.

use crate::{Endpoint, List, Request, Text, slot::write_text};

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
}

impl Template {
    /// Appends the prompt as JSON. Every output node saves under `<prefix>/<node>`.
    pub(crate) fn write(&self, endpoint: &Endpoint, request: &dyn Request, prefix: &str, out: &mut Vec<u8>) {
        for piece in &self.pieces {
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
            }
        }
    }
}

fn write_default(default: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(default.unwrap_or("null").as_bytes());
}
