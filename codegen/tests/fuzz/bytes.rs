//! Changes of bytes, whatever they mean.

use fastrand::Rng;

use crate::{
    change,
    seeds::{Container, Seeds},
};

/// Parts that mean something to a reader of JSON.
const PARTS: &[&[u8]] = &[
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\u0000",
    b"\xED\xA0\x80",
    b"\xFF\xFE",
    b"\xEF\xBB\xBF",
    b"\0",
    b"NaN",
    b"-Infinity",
    b"1e99999",
    b"-",
    b"00",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"/*",
    b"null",
    b"\xC0\x80",
];

/// Lengths that lie.
const LENGTHS: &[u32] =
    &[0, 1, 3, 7, 8, 9, 12, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, u32::MAX];

/// A text with some of its bytes changed.
pub(crate) fn text(original: &[u8], seeds: &Seeds, dice: &mut Rng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=dice.usize(..6) {
        let at = dice.usize(..=bytes.len());
        match dice.u8(..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(..at.min(40))),
            2 | 3 => {
                let part = PARTS[dice.usize(..PARTS.len())];
                bytes.splice(at..at, part.iter().copied());
            }
            4 => cut(&mut bytes, at, dice),
            5 => {
                let other = &seeds.texts[dice.usize(..seeds.texts.len())];
                let start = dice.usize(..=other.len());
                let end = (start + dice.usize(..4_000)).min(other.len());
                bytes.splice(at..at, other[start..end].iter().copied());
            }
            6 if dice.u8(..8) == 0 => {
                let deep = dice.usize(..300_000);
                bytes.splice(at..at, std::iter::repeat_n(*dice.choice(b"[{\"\\").unwrap(), deep));
            }
            7 if dice.u8(..8) == 0 => {
                let units = String::from_utf8_lossy(&bytes).encode_utf16().collect::<Vec<_>>();
                bytes = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            }
            _ => flip(&mut bytes, at, dice),
        }
    }
    bytes
}

fn flip(bytes: &mut [u8], at: usize, dice: &mut Rng) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = if dice.bool() { dice.u8(..) } else { *byte ^ (1 << dice.u8(..8)) };
    }
}

fn cut(bytes: &mut Vec<u8>, at: usize, dice: &mut Rng) {
    let end = (at + dice.usize(..200)).min(bytes.len());
    bytes.drain(at..end);
}

/// A picture, film, sound or mesh that is damaged, lies about lengths, or holds a changed workflow.
pub(crate) fn container(container: &Container, seeds: &Seeds, dice: &mut Rng) -> Vec<u8> {
    let mut bytes = container.bytes.clone();
    if dice.u8(..3) > 0 {
        for (range, value) in &container.json {
            let mut value = value.clone();
            change::some(&mut value, &seeds.submitted, dice);
            let mut text = value.to_json().into_bytes();
            text.resize(range.len(), b' ');
            bytes[range.clone()].copy_from_slice(&text);
        }
    }
    for _ in 0..dice.usize(..5) {
        let early = dice.bool();
        let at = dice.usize(..if early { bytes.len().min(600) } else { bytes.len() }.max(1));
        match dice.u8(..7) {
            0 => bytes.truncate(at),
            1 => cut(&mut bytes, at, dice),
            2 | 3 => {
                let length = LENGTHS[dice.usize(..LENGTHS.len())];
                let lie = if dice.bool() { length.to_be_bytes() } else { length.to_le_bytes() };
                let end = (at + 4).min(bytes.len());
                if at < end {
                    bytes[at..end].copy_from_slice(&lie[..end - at]);
                }
            }
            4 => {
                let end = (at + dice.usize(..600)).min(bytes.len());
                let part = bytes.get(at..end).unwrap_or_default().repeat(dice.usize(1..40));
                bytes.splice(at..at, part);
            }
            5 => {
                let other = &seeds.containers[dice.usize(..seeds.containers.len())].bytes;
                let from = dice.usize(..other.len());
                let end = (from + dice.usize(..2_000)).min(other.len());
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), other[from..end].iter().copied());
            }
            _ => flip(&mut bytes, at, dice),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}
