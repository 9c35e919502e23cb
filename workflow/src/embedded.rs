//! Workflows inside the files that ComfyUI saved: pictures, films, sounds, meshes and latents carry the prompt they
//! were made from.
//!
//! What a file is shows in its first bytes, never in its name. Every length in a file is a claim: nothing is allocated
//! or skipped on its word alone.

use std::borrow::Cow;

use crate::{diagnostic::Diagnostic, json};

mod bytes;
mod exif;
mod gltf;
mod id3;
mod jpeg;
mod matroska;
mod mp4;
mod ogg;
mod png;
mod safetensors;
mod texts;
mod vorbis;
mod webp;

use texts::Texts;

/// Endings of files in a folder of workflows that may hold one; the endings of other files are for other things.
///
/// It is only for finding files: what one holds shows in its first bytes.
pub const WORKFLOW_ENDINGS: &[&str] = &["json", "png", "webp", "flac", "mp4", "glb"];

/// Files of more bytes than this are not read: a workflow in so long a film is better exported.
pub const LARGEST_FILE: u64 = 512 << 20;

/// One kind of file that may hold a workflow.
struct Kind {
    name: &'static str,
    is: fn(&[u8]) -> bool,
    /// Collects texts as far as the file can be followed; `None` where it breaks off.
    read: fn(&[u8], &mut Texts) -> Option<()>,
}

const KINDS: &[Kind] = &[
    Kind { name: "PNG picture", is: png::is, read: png::read },
    Kind { name: "WebP picture", is: webp::is, read: webp::read },
    Kind { name: "JPEG picture", is: jpeg::is, read: jpeg::read },
    Kind { name: "MP4 film", is: mp4::is, read: mp4::read },
    Kind { name: "WebM or Matroska film", is: matroska::is, read: matroska::read },
    Kind { name: "FLAC sound", is: vorbis::is_flac, read: vorbis::read_flac },
    Kind { name: "Ogg sound", is: ogg::is, read: ogg::read },
    Kind { name: "MP3 sound", is: id3::is, read: id3::read },
    Kind { name: "GLB model", is: gltf::is, read: gltf::read },
    Kind { name: "safetensors file", is: safetensors::is, read: safetensors::read },
];

/// The JSON to read: what the file holds, or the file itself where it is no file of these.
///
/// The prompt, which is what ComfyUI ran, comes before the editor's form of the same workflow.
pub fn open(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Diagnostic> {
    let Some(kind) = KINDS.iter().find(|kind| (kind.is)(bytes)) else { return Ok(Cow::Borrowed(bytes)) };
    let mut texts = Texts::default();
    let whole = (kind.read)(bytes, &mut texts).is_some();
    if texts.in_order().next().is_none() {
        return Err(nothing(kind.name, whole));
    }
    let readable: Vec<&[u8]> = texts.in_order().filter(|text| json::parse(text).is_ok()).collect();
    let runnable = readable.iter().find(|text| holds(text, b"class_type"));
    let chosen =
        runnable.or_else(|| readable.iter().find(|text| holds(text, b"\"nodes\""))).or(readable.first());
    chosen.map(|text| Cow::Owned(text.to_vec())).ok_or_else(|| {
        Diagnostic::error("damaged-file", format!("the workflow in this {} is not JSON", kind.name))
            .help(INSTEAD)
    })
}

fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

const INSTEAD: &str = "export the workflow from ComfyUI instead: Workflow → Export (API)";

fn nothing(kind: &str, whole: bool) -> Diagnostic {
    if whole {
        Diagnostic::error("no-metadata", format!("this {kind} holds no workflow"))
            .help(format!("it was saved without metadata, or an image host removed it; {INSTEAD}"))
    } else {
        Diagnostic::error("damaged-file", format!("this {kind} breaks off before any workflow"))
            .help(format!("it is incomplete or damaged: fetch it again, or {INSTEAD}"))
    }
}
