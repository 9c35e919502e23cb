//! What cameras and programs wrote about a picture, where it is to be kept.

use image::metadata::Orientation;

/// The most that is kept of it, in bytes: what a segment of a JPEG file holds.
const MOST: usize = 65_000;

/// The profile's place in a header that all ICC profiles have: what the numbers of a picture's channels mean.
const CHANNELS: std::ops::Range<usize> = 16..20;

/// The largest colour profile that is kept, in bytes.
const LARGEST_PROFILE: usize = 1 << 20;

/// What is kept of EXIF data: it must not say again which way to turn what was turned.
pub(crate) fn settled(mut exif: Vec<u8>) -> Option<Vec<u8>> {
    // `None` here means that it says nothing of the kind.
    let _ = Orientation::remove_from_exif_chunk(&mut exif);
    (!exif.is_empty() && exif.len() <= MOST).then_some(exif)
}

/// A colour profile, if it is of use for pixels of this kind: one of a printer's four inks is not, once they were made
/// red, green and blue.
pub(crate) fn profile(icc: Vec<u8>, has_colour: bool) -> Option<Vec<u8>> {
    let channels: &[u8] = if has_colour { b"RGB " } else { b"GRAY" };
    (icc.len() <= LARGEST_PROFILE && icc.get(CHANNELS) == Some(channels)).then_some(icc)
}
