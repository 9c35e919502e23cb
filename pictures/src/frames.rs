//! How many frames a picture has, read from its structure without decoding it.

use crate::{Format, Frames};

/// `None` if the structure breaks off before it can be told.
pub(crate) fn count(format: Format, data: &[u8]) -> Option<Frames> {
    match format {
        Format::Png => png(data),
        Format::Gif => gif(data),
        Format::Webp => webp(data),
        Format::Tiff => tiff(data),
        Format::Jpeg | Format::Bmp => Some(Frames::One),
    }
}

fn word(data: &[u8], at: usize) -> Option<[u8; 4]> {
    data.get(at..at.checked_add(4)?)?.try_into().ok()
}

/// The `acTL` chunk says how many there are; a picture without any `IDAT` is none, and one without `IEND` is cut short.
fn png(data: &[u8]) -> Option<Frames> {
    let mut at = 8;
    let mut frames = Frames::One;
    let mut pixels = false;
    loop {
        let length = u32::from_be_bytes(word(data, at)?) as usize;
        match &word(data, at + 4)? {
            b"IDAT" => pixels = true,
            b"acTL" if u32::from_be_bytes(word(data, at + 8)?) > 1 => frames = Frames::Several,
            b"IEND" => return pixels.then_some(frames),
            _ => {}
        }
        at = at.checked_add(length)?.checked_add(12)?;
    }
}

fn gif(data: &[u8]) -> Option<Frames> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + colours(*data.get(10)?);
    let mut frames = 0;
    loop {
        match data.get(at) {
            Some(0x2C) => {
                frames += 1;
                if frames > 1 {
                    return Some(Frames::Several);
                }
                at += 10 + colours(*data.get(at + 9)?) + 1;
            }
            Some(0x21) => at += 2,
            // Decoders take a file without its last byte; one without any frame is nothing to take.
            Some(_) | None => return (frames == 1).then_some(Frames::One),
        }
        loop {
            let Some(length) = data.get(at) else { return (frames == 1).then_some(Frames::One) };
            at += 1 + usize::from(*length);
            if *length == 0 {
                break;
            }
        }
    }
}

fn webp(data: &[u8]) -> Option<Frames> {
    const ANIMATED: u8 = 0x02;
    if &word(data, 12)? != b"VP8X" || data.get(20)? & ANIMATED == 0 {
        return Some(Frames::One);
    }
    let mut at = 12_usize;
    let mut frames = 0;
    while let (Some(name), Some(length)) = (word(data, at), word(data, at + 4)) {
        frames += usize::from(&name == b"ANMF");
        if frames > 1 {
            return Some(Frames::Several);
        }
        let length = u32::from_le_bytes(length) as usize;
        at = at.checked_add(8)?.checked_add(length)?.checked_add(length & 1)?;
    }
    Some(Frames::One)
}

/// Pages hang together as a chain of directories; a second one makes several frames.
fn tiff(data: &[u8]) -> Option<Frames> {
    let little = data.first()? == &b'I';
    let short = |at: usize| {
        let pair: [u8; 2] = data.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let long = |at: usize| {
        let four = word(data, at)?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize)
    };
    // BigTIFF has wider offsets; engines rarely open it, and its first directory is all that is looked at.
    if short(2)? != 42 {
        return Some(Frames::One);
    }
    let directory = long(4)?;
    let entries = usize::from(short(directory)?);
    let next = long(directory.checked_add(2)?.checked_add(entries * 12)?)?;
    Some(if next == 0 { Frames::One } else { Frames::Several })
}
