//! What callers upload, judged by its bytes.
//!
//! Names and declared types are claims; the first bytes decide. Nothing is decoded here: sizes and frame counts come
//! from headers, so a picture that would unpack to gigabytes is refused for the price of reading its header.

use comfyport_endpoint::MediaKind;
use comfyport_pictures::{Fault, Frames, Header, Limits};

mod format;
pub mod moving;
mod workshop;

pub use format::Format;
pub use workshop::{Settings as WorkshopSettings, Workshop};

/// Why a file is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaFault {
    /// It is of a kind that this parameter does not take.
    #[error("this is {found}; accepted are {accepted}")]
    Unsupported {
        /// What it seems to be.
        found: &'static str,
        /// What would do.
        accepted: &'static str,
    },
    /// It is a picture that no engine opens.
    #[error("this is {found}, which engines cannot open; send it as PNG or JPEG")]
    Foreign {
        /// What it is.
        found: &'static str,
    },
    /// It is empty.
    #[error("the file is empty")]
    Empty,
    /// It is a film or a sound that goes on for longer than is accepted.
    #[error("it lasts {found} seconds; at most {most} are accepted")]
    TooLong {
        /// Whole seconds that it lasts.
        found: u64,
        /// The most whole seconds accepted.
        most: u64,
    },
    /// It is a picture that is not accepted, or cannot be made what it is to be.
    #[error(transparent)]
    Picture(#[from] Fault),
}

/// So much of a file's beginning tells what it is.
pub const HEAD: usize = 4096;

/// Finds out what a file is, and whether a parameter of this kind takes it, from its beginning.
pub fn sniff(kind: MediaKind, head: &[u8]) -> Result<Format, MediaFault> {
    if head.is_empty() {
        return Err(MediaFault::Empty);
    }
    Format::sniff(head).filter(|format| takes(kind, *format)).ok_or_else(|| {
        let picture = matches!(kind, MediaKind::Image | MediaKind::Mask | MediaKind::File);
        match format::foreign(head).filter(|_| picture) {
            Some(found) => MediaFault::Foreign { found },
            None => MediaFault::Unsupported { found: format::describe(head), accepted: accepted(kind) },
        }
    })
}

/// Checks a whole picture, without decoding it. Its width and height in pixels.
pub fn check_picture(kind: MediaKind, data: &[u8], limits: &Limits) -> Result<(u32, u32), MediaFault> {
    let header = Header::read(data, limits)?;
    if header.frames == Frames::Several && matches!(kind, MediaKind::Image | MediaKind::Mask) {
        return Err(Fault::Animated.into());
    }
    Ok((header.width, header.height))
}

fn accepted(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image | MediaKind::Mask => "PNG, JPEG, WebP, GIF, BMP and TIFF pictures",
        MediaKind::Video => "MP4, WebM, Matroska, QuickTime and AVI films, GIF and WebP",
        MediaKind::Audio => "WAV, FLAC, MP3, Ogg, AAC and M4A sounds, MP4 and WebM films",
        MediaKind::Model3d => "GLB, FBX and PLY models",
        MediaKind::File => "pictures, films, sounds, 3D models and safetensors files",
    }
}

fn takes(kind: MediaKind, format: Format) -> bool {
    match kind {
        MediaKind::Image | MediaKind::Mask => format.is_picture(),
        MediaKind::Video => format.is_film() || matches!(format, Format::Gif | Format::Webp),
        MediaKind::Audio => format.is_sound() || matches!(format, Format::Mp4 | Format::Webm | Format::Mov),
        MediaKind::Model3d => format.is_model(),
        MediaKind::File => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(kind: MediaKind, data: &[u8]) -> Result<Format, MediaFault> {
        let format = sniff(kind, &data[..data.len().min(HEAD)])?;
        if format.is_picture() {
            check_picture(kind, data, &Limits::default())?;
        }
        Ok(format)
    }

    fn chunk(out: &mut Vec<u8>, name: &[u8], body: &[u8]) {
        out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        out.extend(name);
        out.extend(body);
        out.extend([0; 4]);
    }

    fn png(width: u32, height: u32, frames: Option<u32>) -> Vec<u8> {
        let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
        chunk(&mut out, b"IHDR", &header);
        if let Some(frames) = frames {
            chunk(&mut out, b"acTL", &[frames.to_be_bytes(), [0; 4]].concat());
        }
        chunk(&mut out, b"IDAT", &[1, 2, 3]);
        chunk(&mut out, b"IEND", &[]);
        out
    }

    #[test]
    fn pictures_are_judged_from_their_header() {
        assert_eq!(judge(MediaKind::Image, &png(48, 32, None)), Ok(Format::Png));
        assert_eq!(judge(MediaKind::Image, &png(48, 32, Some(1))), Ok(Format::Png));
        assert_eq!(judge(MediaKind::Image, &png(48, 32, Some(9))), Err(Fault::Animated.into()));
        assert!(matches!(
            judge(MediaKind::Image, &png(13_000, 13_000, None)),
            Err(MediaFault::Picture(Fault::TooLarge { .. }))
        ));
        assert!(matches!(
            judge(MediaKind::Image, &png(65_536, 1, None)),
            Err(MediaFault::Picture(Fault::TooLarge { .. }))
        ));
        for cut in [9, 20, 40, 50] {
            let whole = png(48, 32, None);
            assert!(
                matches!(
                    judge(MediaKind::Image, &whole[..cut]),
                    Err(MediaFault::Picture(Fault::Damaged { .. }))
                ),
                "{cut}"
            );
        }
    }

    #[test]
    fn what_is_not_a_picture_is_not_taken_for_one() {
        let svg = b"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>";
        for data in [&svg[..], b"<html><body>", b"PK\x03\x04....", b"%PDF-1.7", b"plain words", b"\x7fELF"] {
            let fault = judge(MediaKind::Image, data).unwrap_err();
            assert!(matches!(fault, MediaFault::Unsupported { .. }), "{data:?}: {fault}");
        }
        assert_eq!(judge(MediaKind::Image, b""), Err(MediaFault::Empty));
        for (brand, name) in [(b"heic", "HEIC"), (b"hevc", "HEIC"), (b"mif1", "HEIC"), (b"avif", "AVIF")] {
            let data = [b"\0\0\0\x18ftyp", &brand[..], b"\0\0\0\0mif1heic"].concat();
            let words = judge(MediaKind::Image, &data).unwrap_err().to_string();
            assert!(words.contains(name) && words.ends_with("send it as PNG or JPEG"), "{words}");
            assert!(matches!(judge(MediaKind::Video, &data), Err(MediaFault::Unsupported { .. })));
        }
        assert!(judge(MediaKind::Audio, &png(4, 4, None)).is_err());
        assert_eq!(judge(MediaKind::Model3d, b"glTF\x02\0\0\0\x0c\0\0\0"), Ok(Format::Glb));
    }

    #[test]
    fn frames_of_a_gif_are_counted() {
        let frame = [&[0x2C][..], &[0; 8], &[0], &[2, 1, 7, 0]].concat();
        let mut gif = [b"GIF89a\x04\0\x04\0\0\0\0".to_vec(), frame.clone(), vec![0x3B]].concat();
        assert_eq!(judge(MediaKind::Image, &gif), Ok(Format::Gif));
        gif.pop();
        gif.extend(frame);
        gif.push(0x3B);
        assert_eq!(judge(MediaKind::Image, &gif), Err(Fault::Animated.into()));
        assert_eq!(judge(MediaKind::Video, &gif), Ok(Format::Gif));
    }
}
