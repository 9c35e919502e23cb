//! Kinds of file, told by their first bytes.

/// A kind of file that a parameter can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its format")]
pub enum Format {
    Png,
    Jpeg,
    Webp,
    Gif,
    Bmp,
    Tiff,
    Mp4,
    Mov,
    Webm,
    Avi,
    Wav,
    Flac,
    Mp3,
    Ogg,
    Aac,
    M4a,
    Glb,
    Fbx,
    Ply,
    Safetensors,
}

impl From<comfyport_pictures::Format> for Format {
    fn from(picture: comfyport_pictures::Format) -> Self {
        use comfyport_pictures::Format as Picture;
        match picture {
            Picture::Png => Self::Png,
            Picture::Jpeg => Self::Jpeg,
            Picture::Webp => Self::Webp,
            Picture::Gif => Self::Gif,
            Picture::Bmp => Self::Bmp,
            Picture::Tiff => Self::Tiff,
        }
    }
}

impl Format {
    /// What the first bytes say.
    pub fn sniff(data: &[u8]) -> Option<Self> {
        if let Some(picture) = comfyport_pictures::Format::sniff(data) {
            return Some(picture.into());
        }
        Some(match data {
            [b'R', b'I', b'F', b'F', _, _, _, _, kind @ ..] => match kind {
                [b'W', b'A', b'V', b'E', ..] => Self::Wav,
                [b'A', b'V', b'I', b' ', ..] => Self::Avi,
                _ => return None,
            },
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand {
                [b'q', b't', ..] => Self::Mov,
                [b'M', b'4', b'A' | b'B', ..] => Self::M4a,
                // Pictures in the same container, which engines cannot open.
                _ if foreign(data).is_some() => return None,
                _ => Self::Mp4,
            },
            [0x1A, 0x45, 0xDF, 0xA3, ..] => Self::Webm,
            [b'f', b'L', b'a', b'C', ..] => Self::Flac,
            [b'O', b'g', b'g', b'S', ..] => Self::Ogg,
            [0xFF, second, ..] if second & 0xF6 == 0xF0 => Self::Aac,
            [b'I', b'D', b'3', ..] => Self::Mp3,
            [0xFF, second, ..] if second & 0xE0 == 0xE0 && second & 0x06 != 0 => Self::Mp3,
            [b'g', b'l', b'T', b'F', ..] => Self::Glb,
            _ if data.starts_with(b"Kaydara FBX Binary") => Self::Fbx,
            _ if data.starts_with(b"ply\n") || data.starts_with(b"ply\r") => Self::Ply,
            // A little-endian header length, then the header, which is JSON.
            [_, _, _, 0, 0, 0, 0, 0, b'{', ..] => Self::Safetensors,
            _ => return None,
        })
    }

    /// The file name ending engines know it by, without the dot.
    pub fn extension(self) -> &'static str {
        self.row().1
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        self.row().2
    }

    /// The name people know it by.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Png => ("PNG", "png", "image/png"),
            Self::Jpeg => ("JPEG", "jpg", "image/jpeg"),
            Self::Webp => ("WebP", "webp", "image/webp"),
            Self::Gif => ("GIF", "gif", "image/gif"),
            Self::Bmp => ("BMP", "bmp", "image/bmp"),
            Self::Tiff => ("TIFF", "tiff", "image/tiff"),
            Self::Mp4 => ("MP4", "mp4", "video/mp4"),
            Self::Mov => ("QuickTime", "mov", "video/quicktime"),
            Self::Webm => ("WebM", "webm", "video/webm"),
            Self::Avi => ("AVI", "avi", "video/x-msvideo"),
            Self::Wav => ("WAV", "wav", "audio/wav"),
            Self::Flac => ("FLAC", "flac", "audio/flac"),
            Self::Mp3 => ("MP3", "mp3", "audio/mpeg"),
            Self::Ogg => ("Ogg", "ogg", "audio/ogg"),
            Self::Aac => ("AAC", "aac", "audio/aac"),
            Self::M4a => ("M4A", "m4a", "audio/mp4"),
            Self::Glb => ("GLB", "glb", "model/gltf-binary"),
            Self::Fbx => ("FBX", "fbx", "application/octet-stream"),
            Self::Ply => ("PLY", "ply", "application/octet-stream"),
            Self::Safetensors => ("safetensors", "safetensors", "application/octet-stream"),
        }
    }

    /// Whether it is a picture.
    pub fn is_picture(self) -> bool {
        self.content_type().starts_with("image/")
    }

    /// Whether it is a film.
    pub fn is_film(self) -> bool {
        self.content_type().starts_with("video/")
    }

    /// Whether it is a sound.
    pub fn is_sound(self) -> bool {
        self.content_type().starts_with("audio/")
    }

    /// Whether it is a 3D model.
    pub fn is_model(self) -> bool {
        matches!(self, Self::Glb | Self::Fbx | Self::Ply)
    }
}

/// Words for a picture that engines cannot open.
pub(super) fn foreign(data: &[u8]) -> Option<&'static str> {
    match data {
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4)? {
            b"avif" | b"avis" => Some("an AVIF picture"),
            b"mif1" | b"msf1" | [b'h', b'e', b'i' | b'v', b'c' | b'x' | b'm' | b's' | b'f'] => {
                Some("a HEIC picture")
            }
            _ => None,
        },
        [0xFF, 0x0A, ..] | [0, 0, 0, 0x0C, b'J', b'X', b'L', b' ', ..] => Some("a JPEG XL picture"),
        _ => None,
    }
}

/// Words for a file that was not accepted.
pub(super) fn describe(data: &[u8]) -> &'static str {
    if let Some(found) = foreign(data) {
        return found;
    }
    if let Some(format) = Format::sniff(data) {
        return match format {
            known if known.is_picture() => "a picture",
            known if known.is_film() => "a film",
            known if known.is_sound() => "a sound",
            known if known.is_model() => "a 3D model",
            _ => "a safetensors file",
        };
    }
    let start: Vec<u8> = data
        .iter()
        .skip_while(|byte| byte.is_ascii_whitespace() || [0xEF, 0xBB, 0xBF].contains(byte))
        .take(512)
        .map(u8::to_ascii_lowercase)
        .collect();
    let holds = |word: &[u8]| start.windows(word.len()).any(|window| window == word);
    match data {
        [b'P', b'K', 3 | 5, ..] => "a zip archive",
        [0x1F, 0x8B, ..] => "a gzip archive",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [0x7F, b'E', b'L', b'F', ..] | [b'M', b'Z', ..] => "a program",
        _ if holds(b"<svg") => "an SVG drawing",
        _ if start.starts_with(b"<!doctype") || holds(b"<html") || holds(b"<script") => "an HTML page",
        _ if start.starts_with(b"<") => "an XML document",
        _ if std::str::from_utf8(&data[..data.len().min(64)]).is_ok() => "text",
        _ => "of an unknown kind",
    }
}
