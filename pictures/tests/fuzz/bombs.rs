//! Files that are small and would be large, refused for the price of reading their headers.

use std::io::Write;

/// The picture is in order; what is unpacked of its profile is bounded, and the profile is left out.
pub(crate) const PROFILE: &str = "a thousand megabytes of colour profile";

/// Each with its name.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("half a megabyte that would be two gigabytes", png(20_000, 20_000, &[], 500_000)),
        ("65535 on each side", png(65_535, 65_535, &[], 100)),
        ("sides beyond any number", png(u32::MAX, u32::MAX, &[], 100)),
        (PROFILE, png(16, 16, &profile(1 << 30), 2000)),
        ("ten thousand frames", gif(10_000)),
        ("a TIFF of 65535 on each side", tiff()),
        ("a JPEG of 65535 on each side", jpeg()),
    ]
}

fn chunk(out: &mut Vec<u8>, name: &[u8], body: &[u8]) {
    out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    let mut checksum = flate2::Crc::new();
    checksum.update(name);
    checksum.update(body);
    out.extend(name);
    out.extend(body);
    out.extend(checksum.sum().to_be_bytes());
}

fn png(width: u32, height: u32, before: &[u8], packed: usize) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut out, b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat());
    if !before.is_empty() {
        chunk(&mut out, b"iCCP", before);
    }
    // Zeros pack to a thousandth.
    chunk(&mut out, b"IDAT", &zeros(packed as u64 * 1000));
    chunk(&mut out, b"IEND", &[]);
    out
}

fn zeros(length: u64) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let block = vec![0; 1 << 16];
    for _ in 0..length.div_ceil(1 << 16) {
        packer.write_all(&block).unwrap();
    }
    packer.finish().unwrap()
}

fn profile(length: u64) -> Vec<u8> {
    [b"x\0\0".as_slice(), &zeros(length)].concat()
}

fn gif(frames: usize) -> Vec<u8> {
    let frame = [&[0x2C][..], &[0; 4], &[4, 0, 4, 0], &[0], &[2, 1, 7, 0]].concat();
    [b"GIF89a\x04\0\x04\0\0\0\0".to_vec(), frame.repeat(frames), vec![0x3B]].concat()
}

fn tiff() -> Vec<u8> {
    let entry = |tag: u16, value: u32| {
        [&tag.to_le_bytes()[..], &4_u16.to_le_bytes(), &1_u32.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let entries = [
        entry(256, 65_535),
        entry(257, 65_535),
        entry(258, 8),
        entry(262, 1),
        entry(273, 8),
        entry(279, 100),
    ];
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    [b"II\x2a\0\x08\0\0\0".as_slice(), &count, &entries.concat(), &[0; 4]].concat()
}

fn jpeg() -> Vec<u8> {
    let frame =
        [&[0xFF, 0xC0, 0, 17, 8, 0xFF, 0xFF, 0xFF, 0xFF, 3][..], &[1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]]
            .concat();
    [&[0xFF, 0xD8][..], &frame, &[0xFF, 0xD9]].concat()
}
