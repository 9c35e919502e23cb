//! WebP: a RIFF file whose `EXIF` chunk holds the texts.

use super::{bytes::Bytes, exif, texts::Texts};

pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")
}

pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(bytes.get(12..)?);
    while !bytes.is_empty() {
        let kind = bytes.take(4)?;
        let length = bytes.u32_le()?;
        let content = bytes.take(length)?;
        if kind == b"EXIF" {
            exif::read(content, texts);
        }
        // Chunks begin at even places; the last one may lack the filler.
        if length % 2 == 1 {
            bytes.take(1);
        }
    }
    Some(())
}
