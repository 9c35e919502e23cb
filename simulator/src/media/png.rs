//! Writing PNG.

use std::io::Write as _;

use flate2::{Compression, write::ZlibEncoder};

use super::picture::{Picture, Source};

/// Largest Adler-32 sum.
const ADLER: u64 = 65_521;

/// A PNG with text chunks, as ComfyUI embeds the prompt.
pub(crate) fn encode(picture: &Picture, texts: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::from(*b"\x89PNG\r\n\x1a\n");
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&picture.width.to_be_bytes());
    header.extend_from_slice(&picture.height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(*b"IHDR", &header, &mut out);
    for (key, text) in texts {
        chunk(*b"tEXt", &[key.as_bytes(), b"\0", text.as_bytes()].concat(), &mut out);
    }
    chunk(*b"IDAT", &image_data(picture), &mut out);
    chunk(*b"IEND", &[], &mut out);
    out
}

/// An animated PNG, each frame shown for `delay` hundredths of a second.
pub(crate) fn encode_animated(frames: &[Picture], delay: u16, texts: &[(&str, &str)]) -> Vec<u8> {
    let Some(first) = frames.first() else { return Vec::new() };
    let mut out = Vec::from(*b"\x89PNG\r\n\x1a\n");
    let mut header = [first.width.to_be_bytes(), first.height.to_be_bytes()].concat();
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(*b"IHDR", &header, &mut out);
    for (key, text) in texts {
        chunk(*b"tEXt", &[key.as_bytes(), b"\0", text.as_bytes()].concat(), &mut out);
    }
    let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    chunk(*b"acTL", &[count.to_be_bytes(), [0; 4]].concat(), &mut out);
    let mut sequence = 0_u32;
    for (index, frame) in frames.iter().enumerate() {
        let mut control = sequence.to_be_bytes().to_vec();
        for number in [frame.width, frame.height, 0, 0] {
            control.extend_from_slice(&number.to_be_bytes());
        }
        control.extend_from_slice(&delay.to_be_bytes());
        control.extend_from_slice(&[0, 100, 0, 0]);
        chunk(*b"fcTL", &control, &mut out);
        sequence += 1;
        if index == 0 {
            chunk(*b"IDAT", &image_data(frame), &mut out);
        } else {
            chunk(*b"fdAT", &[&sequence.to_be_bytes()[..], &image_data(frame)].concat(), &mut out);
            sequence += 1;
        }
    }
    chunk(*b"IEND", &[], &mut out);
    out
}

fn chunk(kind: [u8; 4], data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&kind);
    out.extend_from_slice(data);
    let mut crc = flate2::Crc::new();
    crc.update(&kind);
    crc.update(data);
    out.extend_from_slice(&crc.sum().to_be_bytes());
}

fn image_data(picture: &Picture) -> Vec<u8> {
    if let Source::Pixels(pixels) = &picture.source {
        return compressed(pixels, picture.width as usize * 3);
    }
    let mut deflate = Runs::new();
    let mut row = Vec::new();
    let mut last = None;
    for y in 0..picture.height {
        let key = picture.row_key(y);
        if last == Some(key) {
            // Filter "up", and no difference to the row above.
            deflate.byte(2);
            deflate.zeros(u64::from(picture.width) * 3);
        } else {
            row.clear();
            picture.row(y, &mut row);
            // Filter "sub": flat cells become zeros.
            deflate.byte(1);
            let mut zeros = 0;
            for (index, value) in row.iter().enumerate() {
                let left = if index < 3 { 0 } else { row[index - 3] };
                let difference = value.wrapping_sub(left);
                if difference == 0 {
                    zeros += 1;
                } else {
                    deflate.zeros(zeros);
                    zeros = 0;
                    deflate.byte(difference);
                }
            }
            deflate.zeros(zeros);
        }
        last = Some(key);
    }
    deflate.finish()
}

/// Real pixels go through a real compressor.
fn compressed(pixels: &[u8], stride: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(pixels.len() / 2 + 64), Compression::fast());
    let mut row = Vec::with_capacity(stride + 1);
    for line in pixels.chunks_exact(stride.max(1)) {
        row.clear();
        row.push(1);
        row.extend_from_slice(&line[..line.len().min(3)]);
        row.extend(line.iter().skip(3).zip(line).map(|(value, left)| value.wrapping_sub(*left)));
        // Writing to a `Vec` cannot fail.
        let _ = encoder.write_all(&row);
    }
    encoder.finish().unwrap_or_default()
}

/// A zlib stream of fixed Huffman codes that only knows runs of zeros. It never looks at a zero.
struct Runs {
    out: Vec<u8>,
    bits: u64,
    count: u32,
    sum: u64,
    sum_of_sums: u64,
}

impl Runs {
    fn new() -> Self {
        let mut runs = Self { out: vec![0x78, 0x01], bits: 0, count: 0, sum: 1, sum_of_sums: 0 };
        runs.put(0b011, 3);
        runs
    }

    /// Appends bits, lowest first.
    fn put(&mut self, bits: u32, count: u32) {
        self.bits |= u64::from(bits) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push((self.bits & 0xFF) as u8);
            self.bits >>= 8;
            self.count -= 8;
        }
    }

    /// Appends a Huffman code, highest bit first.
    fn code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..=143 => self.code(0x30 + symbol, 8),
            144..=255 => self.code(0x190 + symbol - 144, 9),
            256..=279 => self.code(symbol - 256, 7),
            _ => self.code(0xC0 + symbol - 280, 8),
        }
    }

    fn byte(&mut self, value: u8) {
        self.symbol(u32::from(value));
        self.sum = (self.sum + u64::from(value)) % ADLER;
        self.sum_of_sums = (self.sum_of_sums + self.sum) % ADLER;
    }

    fn zeros(&mut self, count: u64) {
        let mut left = count;
        if left == 0 {
            return;
        }
        self.symbol(0);
        left -= 1;
        while left >= 258 {
            // Length 258 at distance 1.
            self.symbol(285);
            self.code(0, 5);
            left -= 258;
        }
        for _ in 0..left / 10 {
            // Length 10 at distance 1.
            self.symbol(264);
            self.code(0, 5);
        }
        for _ in 0..left % 10 {
            self.symbol(0);
        }
        self.sum_of_sums = (self.sum_of_sums + count % ADLER * self.sum) % ADLER;
    }

    fn finish(mut self) -> Vec<u8> {
        self.symbol(256);
        self.put(0, 7);
        let adler = (self.sum_of_sums << 16) | self.sum;
        self.out.extend_from_slice(&u32::try_from(adler).unwrap_or(0).to_be_bytes());
        self.out
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::media::picture::Painting;

    #[test]
    fn pictures_read_back_pixel_by_pixel() {
        let painting = Painting { seed: 7, lines: vec!["SEED 7".to_owned()], inverted: false };
        let painted = Source::Painted(Arc::new(painting));
        for (width, height) in [(64, 64), (1, 1), (1000, 333)] {
            let painted = Picture { width, height, source: painted.clone() };
            let pixels = Picture::pixels(width, height, painted.to_pixels());
            for picture in [painted, pixels, Picture::solid(width, height, [1, 200, 3])] {
                let read = image::load_from_memory(&encode(&picture, &[("prompt", "{}")])).unwrap().to_rgb8();
                assert_eq!((read.width(), read.height()), (width, height));
                assert!(read.into_raw() == picture.to_pixels(), "{width}x{height}");
            }
        }
    }
}
