//! AVI: a header within a list within a RIFF file.

use std::io::{Read, Seek};

use crate::{
    Facts, rate, seconds, size,
    source::{Source, little},
};

/// Where the header begins, in every file that this is.
const HEADER: u64 = 24;

pub(crate) fn read<R: Read + Seek>(mut source: Source<R>) -> Option<Facts> {
    let start = source.at::<12>(HEADER - 12)?;
    let name = source.at::<4>(HEADER)?;
    if !start.starts_with(b"LIST") || !start.ends_with(b"hdrl") || name != *b"avih" {
        return None;
    }
    let mut field = |number: u64| source.at::<4>(HEADER + 8 + 4 * number).map(|bytes| little(&bytes));
    // Microseconds for each picture, and how many there are.
    let (each, frames) = (field(0)?, field(4)?);
    let (width, height) = (field(8)?, field(9)?);
    Some(Facts {
        duration: seconds(each as f64 * frames as f64 / 1e6),
        size: size(width, height),
        fps: if each > 0 { rate(1e6 / each as f64) } else { None },
    })
}
