//! Writing FLAC, MP3 and Opus.

/// A sound: a tone for FLAC, silence for the formats that would need a real encoder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sound {
    pub seconds: f64,
    pub rate: u32,
    pub seed: u64,
}

impl Sound {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped first")]
    fn samples(self) -> u64 {
        (self.seconds.clamp(0.0, 3600.0) * f64::from(self.rate)).round() as u64
    }

    /// FLAC of a square wave: every block is one value, which FLAC stores as that value.
    pub(crate) fn flac(self) -> Vec<u8> {
        let block = 64 + u16::try_from(self.seed % 64).unwrap_or(0);
        let samples = self.samples();
        let mut out = Vec::from(*b"fLaC\x80\0\0\x22");
        out.extend_from_slice(&block.to_be_bytes());
        out.extend_from_slice(&block.to_be_bytes());
        out.extend_from_slice(&[0; 6]);
        // Rate in 20 bits, channels - 1 in 3, bits - 1 in 5, samples in 36.
        let facts = u64::from(self.rate) << 44 | 1 << 41 | 15 << 36 | samples;
        out.extend_from_slice(&facts.to_be_bytes());
        out.extend_from_slice(&[0; 16]);
        let mut left = samples;
        let mut index = 0;
        while left > 0 {
            let length = u16::try_from(left.min(u64::from(block))).unwrap_or(block);
            flac_frame(index, length, &mut out);
            index += 1;
            left -= u64::from(length);
        }
        out
    }

    /// MP3 of silence: frames of 128 kbit/s without any coefficient.
    pub(crate) fn mp3(self) -> Vec<u8> {
        let frames = (self.samples() * 44_100 / u64::from(self.rate.max(1))).div_ceil(1152).max(1);
        let mut out = Vec::new();
        for _ in 0..frames {
            out.extend_from_slice(&[0xFF, 0xFB, 0x90, 0x64]);
            out.extend_from_slice(&[0; 413]);
        }
        out
    }

    /// Opus of silence in an Ogg stream.
    pub(crate) fn opus(self) -> Vec<u8> {
        let samples = self.samples() * 48_000 / u64::from(self.rate.max(1));
        let packets = samples.div_ceil(960).max(1);
        let mut head = Vec::from(*b"OpusHead\x01\x02\x38\x01");
        head.extend_from_slice(&48_000_u32.to_le_bytes());
        head.extend_from_slice(&[0, 0, 0]);
        let mut tags = Vec::from(*b"OpusTags");
        let vendor = b"comfyport simulator";
        tags.extend_from_slice(&u32::try_from(vendor.len()).unwrap_or(0).to_le_bytes());
        tags.extend_from_slice(vendor);
        tags.extend_from_slice(&0_u32.to_le_bytes());
        let mut out = Vec::new();
        ogg_page(2, 0, 0, &[&head], &mut out);
        ogg_page(0, 0, 1, &[&tags], &mut out);
        let mut sent = 0;
        let mut page = 2;
        while sent < packets {
            let count = (packets - sent).min(50);
            sent += count;
            let body = vec![&[0xFC, 0xFF, 0xFE][..]; usize::try_from(count).unwrap_or(50)];
            ogg_page(if sent == packets { 4 } else { 0 }, sent * 960, page, &body, &mut out);
            page += 1;
        }
        out
    }
}

fn flac_frame(index: u64, length: u16, out: &mut Vec<u8>) {
    let start = out.len();
    // Fixed block size, its length in 16 bits at the end of the header, rate from the stream, two channels.
    out.extend_from_slice(&[0xFF, 0xF8, 0x70, 0x18]);
    long_utf8(index, out);
    out.extend_from_slice(&(length - 1).to_be_bytes());
    out.push(crc8(&out[start..]));
    // The wave fades in and out four times a second or so, that it be pleasant.
    let swell = i16::try_from(index % 172).unwrap_or(0);
    let level = 20 * swell.min(172 - swell);
    let value = if index.is_multiple_of(2) { level } else { -level };
    for _ in 0..2 {
        out.push(0);
        out.extend_from_slice(&value.to_be_bytes());
    }
    let sum = crc16(&out[start..]);
    out.extend_from_slice(&sum.to_be_bytes());
}

/// A number in the longer UTF-8 that FLAC counts frames with.
fn long_utf8(value: u64, out: &mut Vec<u8>) {
    if value < 0x80 {
        out.push((value & 0x7F) as u8);
        return;
    }
    let mut rest = 1;
    while value >> (6 * rest + 6 - rest) != 0 {
        rest += 1;
    }
    let lead = (0xFF00_u32 >> (rest + 1) & 0xFF) as u8;
    out.push(lead | (value >> (6 * rest) & 0x3F) as u8);
    for part in (0..rest).rev() {
        out.push(0x80 | (value >> (6 * part) & 0x3F) as u8);
    }
}

fn crc8(data: &[u8]) -> u8 {
    data.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ byte, |sum: u8, _| if sum & 0x80 == 0 { sum << 1 } else { sum << 1 ^ 0x07 })
    })
}

fn crc16(data: &[u8]) -> u16 {
    data.iter().fold(0, |sum, byte| {
        (0..8).fold(
            sum ^ u16::from(*byte) << 8,
            |sum: u16, _| if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x8005 },
        )
    })
}

fn ogg_page(flags: u8, position: u64, page: u32, packets: &[&[u8]], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b"OggS\0");
    out.push(flags);
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(b"port");
    out.extend_from_slice(&page.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    // All packets here are shorter than one segment.
    out.push(u8::try_from(packets.len()).unwrap_or(u8::MAX));
    out.extend(packets.iter().map(|packet| u8::try_from(packet.len()).unwrap_or(254)));
    for packet in packets {
        out.extend_from_slice(packet);
    }
    let sum = out[start..].iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum: u32, _| {
            if sum & 0x8000_0000 == 0 { sum << 1 } else { sum << 1 ^ 0x04C1_1DB7 }
        })
    });
    out[start + 22..start + 26].copy_from_slice(&sum.to_le_bytes());
}
