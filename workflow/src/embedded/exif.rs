//! EXIF: texts of the first directory, written as `prompt:{…}` and `workflow:{…}` into whatever tags were free.

use super::texts::Texts;

const ASCII: usize = 2;
const UNDEFINED: usize = 7;

pub(super) fn read(content: &[u8], texts: &mut Texts) -> Option<()> {
    let tiff = content.strip_prefix(b"Exif\0\0").unwrap_or(content);
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = tiff.get(at..at.checked_add(length)?)?;
        let join = |value: usize, byte: &u8| value << 8 | usize::from(*byte);
        Some(if little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
    };
    let directory = number(4, 4)?;
    let entries = number(directory, 2)?;
    for index in 0..entries {
        let at = directory.checked_add(2 + index * 12)?;
        let (ty, count) = (number(at + 2, 2)?, number(at + 4, 4)?);
        if !matches!(ty, ASCII | UNDEFINED) || count <= 4 {
            continue;
        }
        let start = number(at + 8, 4)?;
        if let Some(text) = start.checked_add(count).and_then(|end| tiff.get(start..end)) {
            texts.add_joined(text);
        }
    }
    Some(())
}
