//! A file of somebody else's, of which only so much is read.

use std::io::{Read, Seek, SeekFrom};

/// The most pieces that are read of one file.
const PIECES: u32 = 20_000;

/// Somewhere to read from.
pub(crate) struct Source<R> {
    data: R,
    /// How long it is, in bytes.
    pub(crate) length: u64,
    left: u32,
}

impl<R: Read + Seek> Source<R> {
    pub(crate) fn new(mut data: R) -> Option<Self> {
        let length = data.seek(SeekFrom::End(0)).ok()?;
        Some(Self { data, length, left: PIECES })
    }

    /// The bytes at a place; nothing behind the end, and nothing once enough was read.
    pub(crate) fn at<const N: usize>(&mut self, place: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(place, &mut bytes)?;
        Some(bytes)
    }

    /// At most so many bytes of what lies between two places.
    pub(crate) fn between(&mut self, from: u64, to: u64, most: usize) -> Option<Vec<u8>> {
        let length = to.min(self.length).checked_sub(from)?;
        let mut bytes = vec![0; usize::try_from(length).map_or(most, |length| length.min(most))];
        self.fill(from, &mut bytes)?;
        Some(bytes)
    }

    fn fill(&mut self, place: u64, bytes: &mut [u8]) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        self.data.seek(SeekFrom::Start(place)).ok()?;
        self.data.read_exact(bytes).ok()
    }
}

/// A number of some bytes, the greatest first.
pub(crate) fn big(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A number of some bytes, the least first.
pub(crate) fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
