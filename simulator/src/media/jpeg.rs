//! Writing JPEG whose blocks of eight by eight pixels have one colour each.
//!
//! That is all a preview or a frame of a film needs here, and it takes no transform: only the mean of a block is stored.

use super::picture::Picture;

/// Codes for the size of a difference: counts by length, then sizes.
const DC_CODES: ([u8; 16], [u8; 12]) =
    ([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);

/// `(code, length)` of each size under [`DC_CODES`].
const DC: [(u32, u32); 12] = [
    (0b00, 2),
    (0b010, 3),
    (0b011, 3),
    (0b100, 3),
    (0b101, 3),
    (0b110, 3),
    (0b1110, 4),
    (0b1_1110, 5),
    (0b11_1110, 6),
    (0b111_1110, 7),
    (0b1111_1110, 8),
    (0b1_1111_1110, 9),
];

/// A JPEG of the picture, coarse.
pub(crate) fn encode(picture: &Picture) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8];
    segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0", &mut out);
    // Step 8 for the mean: the mean of a block is then an eighth of eight times its value, exactly.
    segment(0xDB, &[&[0][..], &[8; 64]].concat(), &mut out);
    let (width, height) = (size(picture.width), size(picture.height));
    let mut frame = vec![8];
    frame.extend_from_slice(&height.to_be_bytes());
    frame.extend_from_slice(&width.to_be_bytes());
    frame.extend_from_slice(&[3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
    segment(0xC0, &frame, &mut out);
    segment(0xC4, &[&[0x00][..], &DC_CODES.0, &DC_CODES.1].concat(), &mut out);
    // One code for "no more coefficients" is all the other table needs.
    segment(0xC4, &[&[0x10, 1][..], &[0; 15], &[0]].concat(), &mut out);
    segment(0xDA, &[3, 1, 0, 2, 0, 3, 0, 0, 63, 0], &mut out);
    scan(picture, width, height, &mut out);
    out.extend_from_slice(&[0xFF, 0xD9]);
    out
}

fn size(side: u32) -> u16 {
    u16::try_from(side.clamp(1, 16_384)).unwrap_or(16_384)
}

fn segment(marker: u8, data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xFF, marker]);
    out.extend_from_slice(&u16::try_from(data.len() + 2).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(data);
}

fn scan(picture: &Picture, width: u16, height: u16, out: &mut Vec<u8>) {
    let mut bits = Bits { out, word: 0, count: 0 };
    let mut last = [0_i32; 3];
    for y in (0..u32::from(height)).step_by(8) {
        for x in (0..u32::from(width)).step_by(8) {
            let colour = picture.at((x + 4).min(picture.width - 1), (y + 4).min(picture.height - 1));
            for (part, value) in luminance(colour).into_iter().enumerate() {
                let difference = value - last[part];
                last[part] = value;
                let length = 32 - difference.unsigned_abs().leading_zeros();
                let (code, code_length) = DC[length as usize];
                bits.put(code, code_length);
                let low = if difference < 0 { difference - 1 } else { difference };
                bits.put(low.cast_unsigned() & ((1 << length) - 1), length);
                bits.put(0, 1);
            }
        }
    }
    bits.put(0x7F, 7);
}

/// Y, Cb and Cr around zero.
fn luminance([red, green, blue]: [u8; 3]) -> [i32; 3] {
    let (red, green, blue) = (i32::from(red), i32::from(green), i32::from(blue));
    let luma = (299 * red + 587 * green + 114 * blue) / 1000;
    [luma - 128, (blue - luma) * 564 / 1000, (red - luma) * 713 / 1000]
}

struct Bits<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, bits: u32, count: u32) {
        self.word = (self.word << count) | u64::from(bits);
        self.count += count;
        while self.count >= 8 {
            let byte = (self.word >> (self.count - 8) & 0xFF) as u8;
            self.out.push(byte);
            if byte == 0xFF {
                self.out.push(0);
            }
            self.count -= 8;
        }
        self.word &= (1 << self.count) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back() {
        for colour in [[0, 0, 0], [255, 255, 255], [200, 30, 90]] {
            let read = image::load_from_memory(&encode(&Picture::solid(100, 50, colour))).unwrap().to_rgb8();
            assert_eq!((read.width(), read.height()), (100, 50));
            let found = read.get_pixel(99, 49).0;
            for part in 0..3 {
                assert!(found[part].abs_diff(colour[part]) < 6, "{colour:?} became {found:?}");
            }
        }
    }
}
