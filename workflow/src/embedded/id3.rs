//! MP3: texts of the reader's own kind (`TXXX`) in an ID3 tag of version 2.3 or 2.4.

use super::{
    bytes::{Bytes, split_at_byte},
    texts::{Texts, utf8, utf16},
};

pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ID3")
}

pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(bytes.get(3..)?);
    let (version, _revision, flags) = (bytes.u8()?, bytes.u8()?, bytes.u8()?);
    let length = seven_bits(bytes.u32_be()?);
    let tag = bytes.take(length)?;
    // A tag in which some bytes are escaped is not worth the trouble: nothing that saves workflows makes it.
    if !matches!(version, 3 | 4) || flags & 0x80 != 0 {
        return Some(());
    }
    let mut tag = Bytes::new(tag);
    if flags & 0x40 != 0 {
        let extended = tag.u32_be()?;
        tag.take(if version == 4 { seven_bits(extended).checked_sub(4)? } else { extended })?;
    }
    while tag.rest().first().is_some_and(|byte| *byte != 0) {
        let id = tag.take(4)?;
        let length = tag.u32_be()?;
        tag.take(2)?;
        let frame = tag.take(if version == 4 { seven_bits(length) } else { length })?;
        if id == b"TXXX" {
            described(frame, texts);
        }
    }
    Some(())
}

/// Lengths leave the top bit of each byte out.
fn seven_bits(length: usize) -> usize {
    (length & 0x7F) | (length >> 1 & 0x3F80) | (length >> 2 & 0x001F_C000) | (length >> 3 & 0x0FE0_0000)
}

/// An encoding, a description, and the text.
fn described(frame: &[u8], texts: &mut Texts) -> Option<()> {
    let (encoding, rest) = frame.split_first()?;
    match encoding {
        0 | 3 => {
            let (key, text) = split_at_byte(rest, 0)?;
            texts.add_with(key, || Some(utf8(text)));
        }
        1 | 2 => {
            let end = rest.chunks_exact(2).position(|pair| pair == [0, 0])? * 2;
            let (key, text) = (rest.get(..end)?, rest.get(end + 2..)?);
            // Keys are short: one of a megabyte is none of ours.
            let key = utf16(key.get(..64).unwrap_or(key), false);
            texts.add_with(&key, || Some(utf16(text, false)));
        }
        _ => {}
    }
    Some(())
}
