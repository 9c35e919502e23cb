//! Is a file whole? Told while its bytes pass by, by the structure its format has: an engine that was killed, or a
//! disk that was full, leaves files that look fine until somebody opens them.
//!
//! ComfyUI and its savers write the complete prompt and workflow into pictures: into text chunks of PNG files, and where
//! other formats have room for what cameras say. It is left out on the way, unless it is wanted.

use comfyport_pictures::Metadata;

use crate::media::Format;

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// It has no bytes.
    #[error("it is empty")]
    Empty,
    /// It ends early.
    #[error("it is cut short")]
    CutShort,
    /// Its ending is of one format and its bytes are of none.
    #[error("it is damaged")]
    Damaged,
}

/// Enough of the start for every header that matters, including pictures with a large profile before their size.
const HEAD: usize = 64 << 10;
const TAIL: usize = 64;

/// Formats are told apart by no more than this.
const START: usize = 16;

/// Watches a file pass by.
#[derive(Debug)]
pub(super) struct Inspector {
    embedded: Metadata,
    format: Option<Format>,
    /// The very first bytes, until there are enough of them to tell the format.
    start: Vec<u8>,
    decided: bool,
    head: Vec<u8>,
    tail: Vec<u8>,
    total: u64,
    walk: Walk,
}

impl Inspector {
    pub(super) fn new(embedded: Metadata) -> Self {
        Self {
            embedded,
            format: None,
            start: Vec::new(),
            decided: false,
            head: Vec::new(),
            tail: Vec::new(),
            total: 0,
            walk: Walk { strips: embedded == Metadata::Strip, ..Walk::default() },
        }
    }

    /// Takes the next bytes and appends what is to be kept of them.
    pub(super) fn push(&mut self, chunk: &[u8], keep: &mut Vec<u8>) {
        self.total += chunk.len() as u64;
        let room = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&chunk[..chunk.len().min(room)]);
        self.remember_tail(chunk);
        if self.decided {
            return self.pass(chunk, keep);
        }
        self.start.extend_from_slice(chunk);
        if self.start.len() >= START {
            self.decide(keep);
        }
    }

    /// Says that everything has passed.
    pub(super) fn finish(&mut self, keep: &mut Vec<u8>) {
        if !self.decided {
            self.decide(keep);
        }
        if matches!(self.format, Some(Format::Webp | Format::Jpeg)) {
            keep.append(&mut self.walk.header);
        }
    }

    fn decide(&mut self, keep: &mut Vec<u8>) {
        self.decided = true;
        self.format = Format::sniff(&self.start);
        let start = std::mem::take(&mut self.start);
        self.pass(&start, keep);
    }

    fn pass(&mut self, chunk: &[u8], keep: &mut Vec<u8>) {
        match self.format {
            Some(Format::Png) => return self.walk.png(chunk, keep),
            Some(Format::Webp) if self.embedded == Metadata::Strip => return self.walk.webp(chunk, keep),
            Some(Format::Jpeg) if self.embedded == Metadata::Strip => return self.walk.jpeg(chunk, keep),
            Some(Format::Mp4 | Format::Mov | Format::M4a) => self.walk.boxes(chunk),
            _ => {}
        }
        keep.extend_from_slice(chunk);
    }

    fn remember_tail(&mut self, chunk: &[u8]) {
        let last = &chunk[chunk.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + last.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend_from_slice(last);
    }

    /// The first bytes.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// What it is.
    pub(super) fn format(&self) -> Option<Format> {
        self.format
    }

    /// Width and height, of a picture.
    pub(super) fn dimensions(&self) -> Option<(u32, u32)> {
        let size = imagesize::blob_size(&self.head).ok()?;
        Some((u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?))
    }

    /// What is wrong, once everything has passed. `wanted` is what the file's name claims it to be.
    pub(super) fn defect(&self, wanted: Option<Format>) -> Option<Defect> {
        if self.total == 0 {
            return Some(Defect::Empty);
        }
        if wanted.is_some() && self.format.is_none() || self.walk.broken {
            return Some(Defect::Damaged);
        }
        let declared = |at: usize| u64::from(self.little(at));
        let whole = match self.format {
            Some(Format::Png) => self.walk.essential && self.walk.ended,
            Some(Format::Mp4 | Format::Mov | Format::M4a) => self.walk.essential && self.walk.is_between(),
            Some(Format::Jpeg) => self.tail.windows(2).any(|pair| pair == [0xFF, 0xD9]),
            Some(Format::Gif) => self.tail.contains(&0x3B),
            Some(Format::Webp | Format::Avi) => self.total >= declared(4) + 8,
            // A sound written to a pipe keeps a placeholder for its length.
            Some(Format::Wav) => matches!(self.little(4), 0 | u32::MAX) || self.total >= declared(4) + 8,
            Some(Format::Glb) => self.total == declared(8),
            _ => true,
        };
        (!whole).then_some(Defect::CutShort)
    }

    fn little(&self, at: usize) -> u32 {
        let word = self.head.get(at..at + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
        word.map_or(u32::MAX, u32::from_le_bytes)
    }
}

/// A walk along chunks (PNG, WebP), segments (JPEG) or boxes (MP4), each of which says how long it is.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts met on the way, independent of each other")]
struct Walk {
    /// Whether what was embedded is left out.
    strips: bool,
    begun: bool,
    /// A chunk's header, while it is being collected.
    header: Vec<u8>,
    name: [u8; 4],
    /// Bytes of the present chunk still to come.
    left: u64,
    /// Whether the present chunk is left out.
    omit: bool,
    /// Whether the next byte says what the file holds besides its picture.
    flags: bool,
    /// Whether the last chunk has passed.
    ended: bool,
    /// Whether the present chunk reaches to the end of the file, however long that is.
    endless: bool,
    /// Whether the chunk has been met without which the file shows nothing.
    essential: bool,
    broken: bool,
}

impl Walk {
    /// Whether a chunk has just ended and no other has begun.
    fn is_between(&self) -> bool {
        self.endless || self.header.is_empty() && self.left == 0
    }

    /// Collects a header of `length` bytes from the front of `data`; whether it is complete.
    fn collect(&mut self, length: usize, data: &mut &[u8]) -> bool {
        let (taken, rest) = data.split_at(length.saturating_sub(self.header.len()).min(data.len()));
        self.header.extend_from_slice(taken);
        *data = rest;
        self.header.len() == length
    }

    /// Takes as much of the present chunk as there is.
    fn take<'d>(&mut self, data: &mut &'d [u8]) -> &'d [u8] {
        let (taken, rest) =
            data.split_at(usize::try_from(self.left).map_or(data.len(), |left| left.min(data.len())));
        *data = rest;
        self.left -= taken.len() as u64;
        taken
    }

    fn png(&mut self, mut data: &[u8], keep: &mut Vec<u8>) {
        if !self.begun {
            // The signature, passed on like a chunk without a name.
            (self.begun, self.left) = (true, 8);
        }
        while !data.is_empty() && !self.broken && !self.ended {
            if self.left > 0 {
                let taken = self.take(&mut data);
                if !self.omit {
                    keep.extend_from_slice(taken);
                }
                self.ended = self.left == 0 && self.name == *b"IEND";
            } else if self.collect(8, &mut data) {
                let (length, name) = be(&self.header);
                self.name = name;
                self.broken = !name.iter().all(u8::is_ascii_alphabetic);
                self.essential |= name == *b"IDAT";
                // `comf` is where ComfyUI keeps them in animations.
                let embedded = matches!(&name, b"tEXt" | b"zTXt" | b"iTXt" | b"eXIf" | b"comf");
                self.omit = self.strips && embedded;
                self.left = u64::from(length) + 4;
                if !self.omit {
                    keep.extend_from_slice(&self.header);
                }
                self.header.clear();
            }
        }
    }

    /// A file says at its start how long it is, so what is left out is made empty in place.
    fn webp(&mut self, mut data: &[u8], keep: &mut Vec<u8>) {
        /// In the first byte of `VP8X`: there is EXIF, there is XMP.
        const FLAGS: u8 = 0x08 | 0x04;
        if !self.begun {
            (self.begun, self.left) = (true, 12);
        }
        while !data.is_empty() {
            if self.left > 0 {
                let taken = self.take(&mut data);
                let at = keep.len();
                if self.omit {
                    keep.resize(at + taken.len(), 0);
                } else {
                    keep.extend_from_slice(taken);
                }
                if std::mem::take(&mut self.flags)
                    && let Some(flags) = keep.get_mut(at)
                {
                    *flags &= !FLAGS;
                }
            } else if self.collect(8, &mut data) {
                let name = be(&self.header).0.to_be_bytes();
                let length = u32::from_le_bytes(be(&self.header).1);
                self.omit = matches!(&name, b"EXIF" | b"XMP ");
                self.flags = name == *b"VP8X";
                self.left = u64::from(length) + u64::from(length & 1);
                keep.extend_from_slice(if self.omit { b"JUNK" } else { &name });
                keep.extend_from_slice(&length.to_le_bytes());
                self.header.clear();
            }
        }
    }

    /// Segments come before the picture itself, which is passed on as it is.
    fn jpeg(&mut self, mut data: &[u8], keep: &mut Vec<u8>) {
        const PICTURE: u8 = 0xDA;
        /// Where cameras, editors and anybody else write.
        const EMBEDDED: [u8; 3] = [0xE1, 0xED, 0xFE];
        if !self.begun {
            (self.begun, self.left) = (true, 2);
        }
        while !data.is_empty() {
            if self.ended {
                keep.extend_from_slice(data);
                return;
            }
            if self.left > 0 {
                let taken = self.take(&mut data);
                if !self.omit {
                    keep.extend_from_slice(taken);
                }
            } else if self.collect(4, &mut data) {
                let header = std::mem::take(&mut self.header);
                let [mark, kind, high, low] = <[u8; 4]>::try_from(header.as_slice()).unwrap_or_default();
                let length = u64::from(u16::from_be_bytes([high, low]));
                self.ended = mark != 0xFF || kind == PICTURE || length < 2;
                self.omit = !self.ended && EMBEDDED.contains(&kind);
                self.left = length.saturating_sub(2);
                if !self.omit {
                    keep.extend_from_slice(&header);
                }
            }
        }
    }

    fn boxes(&mut self, mut data: &[u8]) {
        while !data.is_empty() && !self.broken && !self.endless {
            if self.left > 0 {
                self.take(&mut data);
                continue;
            }
            let wide = self.header.len() >= 8 && be(&self.header).0 == 1;
            if !self.collect(if wide { 16 } else { 8 }, &mut data) {
                return;
            }
            let (length, name) = be(&self.header);
            let length = match (length, <[u8; 8]>::try_from(&self.header[8..])) {
                (1, Ok(long)) => u64::from_be_bytes(long),
                // The length follows as a wide one.
                (1, Err(_)) => continue,
                (0, _) => {
                    self.endless = true;
                    u64::MAX
                }
                (short, _) => u64::from(short),
            };
            self.essential |= matches!(&name, b"moov" | b"moof");
            self.broken = length < self.header.len() as u64;
            self.left = length.saturating_sub(self.header.len() as u64);
            self.header.clear();
        }
    }
}

/// A big-endian length and a name.
fn be(header: &[u8]) -> (u32, [u8; 4]) {
    let part = |at: usize| header.get(at..at + 4).and_then(|part| part.try_into().ok()).unwrap_or_default();
    (u32::from_be_bytes(part(0)), part(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(data: &[u8], step: usize) -> (Vec<u8>, Option<Defect>) {
        let (mut inspector, mut kept) = (Inspector::new(Metadata::Strip), Vec::new());
        data.chunks(step).for_each(|chunk| inspector.push(chunk, &mut kept));
        inspector.finish(&mut kept);
        (kept, inspector.defect(None))
    }

    fn chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], name, body, &[7; 4]].concat()
    }

    #[test]
    fn png_text_is_left_out_and_cuts_are_seen() {
        let signature = b"\x89PNG\r\n\x1a\n".to_vec();
        let header = chunk(b"IHDR", &[0, 0, 0, 5, 0, 0, 0, 3, 8, 2, 0, 0, 0]);
        let (text, pixels, end) =
            (chunk(b"tEXt", b"prompt\0{}"), chunk(b"IDAT", &[1; 40]), chunk(b"IEND", b""));
        let clean = [signature.clone(), header.clone(), pixels.clone(), end.clone()].concat();
        let whole = [signature, header, text, pixels, end].concat();
        for step in [1, 3, 7, 16, 1000] {
            assert_eq!(pass(&whole, step), (clean.clone(), None), "step {step}");
            for cut in 1..whole.len() {
                assert!(pass(&whole[..cut], step).1.is_some() || cut < 8, "cut {cut}");
            }
        }
        let mut keeping = Inspector::new(Metadata::Keep);
        let mut kept = Vec::new();
        keeping.push(&whole, &mut kept);
        assert_eq!(kept, whole);
        let mut inspector = Inspector::new(Metadata::Strip);
        inspector.push(&whole, &mut Vec::new());
        assert_eq!(inspector.dimensions(), Some((5, 3)));
    }

    #[test]
    fn what_programs_wrote_into_pictures_is_left_out() {
        let riff = |chunks: &[u8]| {
            let length = u32::try_from(chunks.len() + 4).unwrap();
            [b"RIFF", &length.to_le_bytes()[..], b"WEBP", chunks].concat()
        };
        let part = |name: &[u8], body: &[u8]| {
            let padding = &[0][..body.len() & 1];
            [name, &u32::try_from(body.len()).unwrap().to_le_bytes(), body, padding].concat()
        };
        let (picture, after) = (part(b"VP8 ", &[5; 33]), part(b"ICCP", b"abc"));
        let webp = riff(
            &[part(b"VP8X", &[0x2C; 10]), picture.clone(), part(b"EXIF", b"{secret"), after.clone()].concat(),
        );
        let mut flags = [0x2C; 10];
        flags[0] = 0x20;
        let clean = riff(&[part(b"VP8X", &flags), picture, part(b"JUNK", &[0; 7]), after].concat());
        let segment = |kind: u8, body: &[u8]| {
            [&[0xFF, kind][..], &u16::try_from(body.len() + 2).unwrap().to_be_bytes(), body].concat()
        };
        let (tables, data) = (
            segment(0xDB, &[1; 40]),
            [segment(0xDA, &[2; 6]), vec![0xFF, 0xE1, 0, 9, 3, 0xFF, 0xD9]].concat(),
        );
        let (profile, exif) = (segment(0xE2, b"ICC_PROFILE"), segment(0xE1, b"Exif\0\0{secret"));
        let jpeg = [
            b"\xFF\xD8".to_vec(),
            exif,
            profile.clone(),
            segment(0xFE, b"a comment"),
            tables.clone(),
            data.clone(),
        ]
        .concat();
        let bare = [b"\xFF\xD8".to_vec(), profile, tables, data].concat();
        for step in [1, 3, 16, 1000] {
            assert_eq!(pass(&webp, step), (clean.clone(), None), "step {step}");
            assert_eq!(pass(&jpeg, step), (bare.clone(), None), "step {step}");
        }
    }

    #[test]
    fn boxes_of_a_film_must_reach_the_end() {
        let of = |name: &[u8], body: &[u8]| {
            [&(u32::try_from(body.len()).unwrap() + 8).to_be_bytes()[..], name, body].concat()
        };
        let wide = [&1_u32.to_be_bytes()[..], b"mdat", &26_u64.to_be_bytes(), &[0; 10]].concat();
        let whole = [of(b"ftyp", b"isom\0\0\0\0"), wide, of(b"moov", &[0; 20])].concat();
        for step in [1, 5, 1000] {
            assert_eq!(pass(&whole, step), (whole.clone(), None), "step {step}");
            for cut in 17..whole.len() {
                assert!(pass(&whole[..cut], step).1.is_some(), "cut {cut}");
            }
        }
    }

    #[test]
    fn other_formats_say_how_long_they_are() {
        let glb = [b"glTF".as_slice(), &2_u32.to_le_bytes(), &20_u32.to_le_bytes(), &[0; 8]].concat();
        assert_eq!(pass(&glb, 4).1, None);
        assert_eq!(pass(&glb[..19], 4).1, Some(Defect::CutShort));
        let jpeg = [&[0xFF, 0xD8, 0xFF, 0xE0][..], &[0; 30], &[0xFF, 0xD9]].concat();
        assert_eq!(pass(&jpeg, 4).1, None);
        assert_eq!(pass(&jpeg[..30], 4).1, Some(Defect::CutShort));
        assert_eq!(pass(b"", 4).1, Some(Defect::Empty));
        assert_eq!(pass(b"a note", 4), (b"a note".to_vec(), None));
    }
}
