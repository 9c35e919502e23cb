//! MP4 and MOV: boxes within boxes. Texts are in `moov/udta/meta` or `moov/meta`, under keys of their own or as a comment.

use super::{bytes::Bytes, texts::Texts};

/// A box and what is in it.
type Part<'a> = (&'a [u8], &'a [u8]);

pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"ftyp")
}

pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(bytes);
    while !bytes.is_empty() {
        let (kind, content) = part(&mut bytes)?;
        if kind == b"moov" {
            for (kind, content) in parts(content) {
                match kind {
                    b"udta" => user_data(content, texts),
                    b"meta" => metadata(content, texts),
                    _ => {}
                }
            }
        }
    }
    Some(())
}

fn part<'a>(bytes: &mut Bytes<'a>) -> Option<Part<'a>> {
    let length = bytes.u32_be()?;
    let kind = bytes.take(4)?;
    let content = match length {
        0 => bytes.rest().len(),
        1 => bytes.u64_be()?.checked_sub(16)?,
        _ => length.checked_sub(8)?,
    };
    Some((kind, bytes.take(content)?))
}

fn parts(content: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut bytes = Bytes::new(content);
    std::iter::from_fn(move || part(&mut bytes))
}

fn user_data(content: &[u8], texts: &mut Texts) {
    for (_, content) in parts(content).filter(|(kind, _)| *kind == b"meta") {
        metadata(content, texts);
    }
}

fn metadata(content: &[u8], texts: &mut Texts) {
    // QuickTime's has no version before its boxes.
    let content =
        if content.get(4..8) == Some(b"hdlr") { content } else { content.get(4..).unwrap_or_default() };
    let keys = parts(content).find(|(kind, _)| *kind == b"keys").map(|(_, content)| keys(content));
    for (_, list) in parts(content).filter(|(kind, _)| *kind == b"ilst") {
        for (kind, item) in parts(list) {
            let named = kind.try_into().map(u32::from_be_bytes).ok().and_then(|number| {
                let index = usize::try_from(number).ok()?.checked_sub(1)?;
                keys.as_ref()?.get(index).copied()
            });
            let text = parts(item).find(|(kind, _)| *kind == b"data").and_then(|(_, data)| data.get(8..));
            if let Some(text) = text {
                texts.add(named.unwrap_or(kind), text);
            }
        }
    }
}

/// Names, to which items refer by number.
fn keys(content: &[u8]) -> Vec<&[u8]> {
    let content = content.get(8..).unwrap_or_default();
    parts(content).map(|(_, name)| name).collect()
}
