//! PNG: text chunks, and the chunk of ComfyUI's own that animated pictures carry.

use std::io::Read as _;

use super::{
    bytes::{Bytes, split_at_byte},
    texts::{Texts, utf8},
};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// More text than any workflow has: a small chunk can claim to unfold without end.
const LONGEST: u64 = 32 << 20;

pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(bytes.get(SIGNATURE.len()..)?);
    loop {
        let length = bytes.u32_be()?;
        let kind = bytes.take(4)?;
        let content = bytes.take(length)?;
        bytes.take(4)?;
        match kind {
            b"tEXt" | b"comf" => {
                if let Some((key, text)) = split_at_byte(content, 0) {
                    texts.add_with(key, || Some(utf8(text)));
                }
            }
            b"zTXt" => {
                compressed(content, texts);
            }
            b"iTXt" => {
                international(content, texts);
            }
            b"IEND" => return Some(()),
            _ => {}
        }
    }
}

fn compressed(content: &[u8], texts: &mut Texts) -> Option<()> {
    let (key, rest) = split_at_byte(content, 0)?;
    texts.add_with(key, || Some(utf8(&inflate(rest.strip_prefix(&[0])?)?)));
    Some(())
}

fn international(content: &[u8], texts: &mut Texts) -> Option<()> {
    let (key, rest) = split_at_byte(content, 0)?;
    let (flags, rest) = rest.split_at_checked(2)?;
    let (_language, rest) = split_at_byte(rest, 0)?;
    let (_translated, text) = split_at_byte(rest, 0)?;
    match flags {
        [0, _] => texts.add(key, text),
        [1, 0] => texts.add_with(key, || inflate(text)),
        _ => {}
    }
    Some(())
}

fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let read = flate2::read::ZlibDecoder::new(packed).take(LONGEST + 1).read_to_end(&mut text).ok()?;
    (read as u64 <= LONGEST).then_some(text)
}
