//! Writing MP4 with JPEG frames.

use super::{jpeg, picture::Picture};

/// So many different frames are stored; a longer film repeats them.
const DIFFERENT: usize = 16;

/// A film. The frames are Motion JPEG, which players of files know and browsers do not.
pub(crate) fn encode(frames: &[Picture], fps: f64) -> Vec<u8> {
    let Some(first) = frames.first() else { return Vec::new() };
    let stored: Vec<Vec<u8>> = frames.iter().take(DIFFERENT).map(jpeg::encode).collect();
    let head = boxed(*b"ftyp", &[b"isom\0\0\x02\0isommp41"]);
    let mut offset = head.len() + 8;
    let mut places = Vec::with_capacity(stored.len());
    for frame in &stored {
        places.push((offset, frame.len()));
        offset += frame.len();
    }
    let data: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
    let track = Track { width: first.width, height: first.height, count: frames.len(), fps, places };
    [head, boxed(*b"mdat", &data), track.movie()].concat()
}

struct Track {
    width: u32,
    height: u32,
    count: usize,
    fps: f64,
    /// Offset and length of each stored frame.
    places: Vec<(usize, usize)>,
}

fn number(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes()
}

fn boxed(kind: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = number(length + 8).to_vec();
    out.extend_from_slice(&kind);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

const MATRIX: [u8; 36] = [
    0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0,
    0, 0,
];

impl Track {
    /// Ticks of a frame; a second has a thousand times as many as frames.
    const TICKS: u32 = 1000;

    fn timescale(&self) -> u32 {
        // Positive and far below the limit for any rate a film can have.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
        let scale = (self.fps.clamp(0.1, 1000.0) * 1000.0).round() as u32;
        scale
    }

    fn movie(&self) -> Vec<u8> {
        let duration = number(self.count * Self::TICKS as usize);
        let scale = self.timescale().to_be_bytes();
        let movie_header = boxed(
            *b"mvhd",
            &[&[0; 12], &scale, &duration, &[0, 1, 0, 0, 1, 0], &[0; 10], &MATRIX, &[0; 24], &[0, 0, 0, 2]],
        );
        let width = (self.width << 16).to_be_bytes();
        let height = (self.height << 16).to_be_bytes();
        let track_header = boxed(
            *b"tkhd",
            &[&[0, 0, 0, 7], &[0; 8], &[0, 0, 0, 1], &[0; 4], &duration, &[0; 16], &MATRIX, &width, &height],
        );
        let media_header = boxed(*b"mdhd", &[&[0; 12], &scale, &duration, &[0x55, 0xC4, 0, 0]]);
        let handler = boxed(*b"hdlr", &[&[0; 8], b"vide", &[0; 12], b"video\0"]);
        let video_header = boxed(*b"vmhd", &[&[0, 0, 0, 1], &[0; 8]]);
        let url = boxed(*b"url ", &[&[0, 0, 0, 1]]);
        let dref = boxed(*b"dref", &[&[0; 4], &[0, 0, 0, 1], &url]);
        let information = boxed(*b"minf", &[&video_header, &boxed(*b"dinf", &[&dref]), &self.samples()]);
        let media = boxed(*b"mdia", &[&media_header, &handler, &information]);
        boxed(*b"moov", &[&movie_header, &boxed(*b"trak", &[&track_header, &media])])
    }

    fn samples(&self) -> Vec<u8> {
        let side = |value: u32| u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes();
        let mut name = [0; 32];
        name[..5].copy_from_slice(b"\x04MJPG");
        // MPEG-4 sample entry; object type 0x6C says that the frames are JPEG.
        let esds = boxed(
            *b"esds",
            &[&[0; 4], &[3, 21, 0, 1, 0, 4, 13, 0x6C, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 1, 2]],
        );
        let entry = boxed(
            *b"mp4v",
            &[
                &[0, 0, 0, 0, 0, 0, 0, 1],
                &[0; 16],
                &side(self.width),
                &side(self.height),
                &[0, 0x48, 0, 0, 0, 0x48, 0, 0, 0, 0, 0, 0, 0, 1],
                &name,
                &[0, 24, 0xFF, 0xFF],
                &esds,
            ],
        );
        let descriptions = boxed(*b"stsd", &[&[0; 4], &[0, 0, 0, 1], &entry]);
        let count = number(self.count);
        let durations = boxed(*b"stts", &[&[0; 4], &[0, 0, 0, 1], &count, &Self::TICKS.to_be_bytes()]);
        let chunks = boxed(*b"stsc", &[&[0; 4], &[0, 0, 0, 1], &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]]);
        let cycle = || self.places.iter().cycle().take(self.count);
        let sizes: Vec<u8> = cycle().flat_map(|(_, length)| number(*length)).collect();
        let offsets: Vec<u8> = cycle().flat_map(|(offset, _)| number(*offset)).collect();
        let lengths = boxed(*b"stsz", &[&[0; 8], &count, &sizes]);
        let places = boxed(*b"stco", &[&[0; 4], &count, &offsets]);
        boxed(*b"stbl", &[&descriptions, &durations, &chunks, &lengths, &places])
    }
}
