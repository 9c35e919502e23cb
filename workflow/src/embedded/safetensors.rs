//! Latents and other tensors: a header of JSON whose `__metadata__` holds the texts.

use super::{bytes::Bytes, gltf, texts::Texts};
use crate::json;

/// A JSON text cannot begin like this: its first eight bytes, read as a length, are beyond the end of any file.
pub(super) fn is(bytes: &[u8]) -> bool {
    let length = Bytes::new(bytes).u64_le();
    bytes.get(8) == Some(&b'{') && length.is_some_and(|length| length <= 100 << 20)
}

pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(bytes);
    let length = bytes.u64_le()?;
    let header = json::parse(bytes.take(length)?).ok()?.value;
    if let Some(metadata) = header.get("__metadata__") {
        gltf::members(metadata, texts);
    }
    Some(())
}
