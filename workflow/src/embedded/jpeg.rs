//! JPEG: ComfyUI itself does not save any; other nodes put the texts into its EXIF data.

use super::{bytes::Bytes, exif, texts::Texts};

pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xFF\xD8\xFF")
}

pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(bytes.get(2..)?);
    loop {
        let marker = bytes.take(2)?;
        // The picture itself begins: nothing follows that is of interest.
        if matches!(marker, [0xFF, 0xDA | 0xD9]) {
            return Some(());
        }
        let length = bytes.u16_be()?.checked_sub(2)?;
        let content = bytes.take(length)?;
        if marker == [0xFF, 0xE1] && content.starts_with(b"Exif\0\0") {
            exif::read(content, texts);
        }
    }
}
