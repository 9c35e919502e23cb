//! Vorbis comments, and the FLAC files that hold them.

use super::{
    bytes::{Bytes, split_at_byte},
    texts::Texts,
};

const COMMENTS: u8 = 4;

pub(super) fn is_flac(bytes: &[u8]) -> bool {
    bytes.starts_with(b"fLaC")
}

pub(super) fn read_flac(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(bytes.get(4..)?);
    loop {
        // One byte of kind, three of length.
        let head = bytes.u32_be()?;
        let content = bytes.take(head & 0x00FF_FFFF)?;
        let kind = u8::try_from(head >> 24).ok()?;
        if kind & 0x7F == COMMENTS {
            comments(content, texts)?;
        }
        if kind & 0x80 != 0 {
            return Some(());
        }
    }
}

/// `KEY=text`, after the name of the program that wrote them.
pub(super) fn comments(content: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(content);
    let vendor = bytes.u32_le()?;
    bytes.take(vendor)?;
    let count = bytes.u32_le()?;
    for _ in 0..count {
        let length = bytes.u32_le()?;
        if let Some((key, text)) = split_at_byte(bytes.take(length)?, b'=') {
            texts.add(key, text);
        }
    }
    Some(())
}
