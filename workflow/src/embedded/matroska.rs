//! WebM and Matroska: elements within elements. Texts are in `Segment/Tags/Tag/SimpleTag`.

use super::{bytes::Bytes, texts::Texts};

const HEADER: u64 = 0x1A45_DFA3;
const SEGMENT: u64 = 0x1853_8067;
const TAGS: u64 = 0x1254_C367;
const TAG: u64 = 0x7373;
const SIMPLE_TAG: u64 = 0x67C8;
const NAME: u64 = 0x45A3;
const STRING: u64 = 0x4487;

/// An element and what is in it.
type Element<'a> = (u64, &'a [u8]);

pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1A\x45\xDF\xA3")
}

pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(bytes);
    while !bytes.is_empty() {
        match element(&mut bytes)? {
            (SEGMENT, content) => segment(content, texts)?,
            (HEADER, _) => {}
            _ => return Some(()),
        }
    }
    Some(())
}

fn segment(content: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(content);
    while !bytes.is_empty() {
        let (id, content) = element(&mut bytes)?;
        let tags = elements(content).filter(|(kind, _)| id == TAGS && *kind == TAG);
        for (_, tag) in tags {
            for (_, simple) in elements(tag).filter(|(kind, _)| *kind == SIMPLE_TAG) {
                let part =
                    |wanted| elements(simple).find(|(kind, _)| *kind == wanted).map(|(_, content)| content);
                if let (Some(name), Some(text)) = (part(NAME), part(STRING)) {
                    texts.add(name, text);
                }
            }
        }
    }
    Some(())
}

fn elements(content: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut bytes = Bytes::new(content);
    std::iter::from_fn(move || element(&mut bytes))
}

fn element<'a>(bytes: &mut Bytes<'a>) -> Option<Element<'a>> {
    let (id, _) = variable(bytes, false)?;
    let (length, unknown) = variable(bytes, true)?;
    // A live recording does not know how long it gets: then it is the rest.
    let length = if unknown { bytes.rest().len() } else { usize::try_from(length).ok()? };
    Some((id, bytes.take(length)?))
}

/// A number whose length is the place of its first set bit, and whether all bits of it are set.
fn variable(bytes: &mut Bytes<'_>, strip: bool) -> Option<(u64, bool)> {
    let first = *bytes.rest().first()?;
    let length = first.leading_zeros() + 1;
    if length > 8 {
        return None;
    }
    let taken = bytes.take(usize::try_from(length).ok()?)?;
    let value = taken.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let greatest = (1_u64 << (7 * length)) - 1;
    let plain = value & greatest;
    Some((if strip { plain } else { value }, plain == greatest))
}
