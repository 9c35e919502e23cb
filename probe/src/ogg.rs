//! Ogg (RFC 3533): its first page says how fast its time goes, its last one how late it is.

use std::io::{Read, Seek};

use crate::{
    Facts, seconds,
    source::{Source, little},
};

/// So much of the end is searched for the last page. None is longer.
const LAST: u64 = 66_000;

/// A page, up to the sizes of its pieces.
const HEAD: usize = 27;

/// Opus counts in this whatever it holds.
const OPUS: u64 = 48_000;

pub(crate) fn read<R: Read + Seek>(mut source: Source<R>) -> Option<Facts> {
    let first = source.at::<HEAD>(0)?;
    if !first.starts_with(b"OggS") {
        return None;
    }
    let serial = first.get(14..18)?;
    let packet = HEAD as u64 + u64::from(*first.last()?);
    let kind = source.at::<8>(packet)?;
    let (rate, skipped) = match &kind {
        b"OpusHead" => (OPUS, little(&source.at::<2>(packet + 10)?)),
        [1, b'v', b'o', b'r', b'b', b'i', b's', _] => (little(&source.at::<4>(packet + 12)?), 0),
        b"Speex   " => (little(&source.at::<4>(packet + 36)?), 0),
        _ => return None,
    };
    let end = source.length;
    let tail = source.between(end.saturating_sub(LAST), end, usize::try_from(LAST).ok()?)?;
    // All bits set: no sound ends on that page.
    let times =
        tail.windows(HEAD).filter(|page| page.starts_with(b"OggS") && page.get(14..18) == Some(serial));
    let times = times.filter_map(|page| page.get(6..14).map(little)).filter(|time| *time != u64::MAX);
    let samples = times.max()?.saturating_sub(skipped);
    Some(Facts {
        duration: (rate > 0).then(|| seconds(samples as f64 / rate as f64)).flatten(),
        ..Facts::default()
    })
}
