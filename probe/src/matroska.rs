//! WebM and Matroska (RFC 9559): elements within elements.

use std::io::{Read, Seek};

use crate::{
    Facts, rate, seconds, size,
    source::{Source, big},
};

const SEGMENT: u64 = 0x1853_8067;
const INFO: u64 = 0x1549_A966;
const SCALE: u64 = 0x2A_D7B1;
const DURATION: u64 = 0x4489;
const TRACKS: u64 = 0x1654_AE6B;
const ENTRY: u64 = 0xAE;
const EACH: u64 = 0x23_E383;
const VIDEO: u64 = 0xE0;
const WIDTH: u64 = 0xB0;
const HEIGHT: u64 = 0xBA;
const CLUSTER: u64 = 0x1F43_B675;
const TIME: u64 = 0xE7;

/// Nanoseconds in the unit of time, unless it is said.
const USUAL_SCALE: u64 = 1_000_000;

/// An element, and where its content lies.
#[derive(Debug, Clone, Copy)]
struct Element {
    id: u64,
    from: u64,
    to: u64,
    /// Whether it is said where it ends.
    ends: bool,
}

#[derive(Debug)]
struct Known {
    scale: u64,
    /// How long it says that it is, in units.
    duration: f64,
    /// When the last cluster begins, in units. Who records live does not know how long it gets.
    last: u64,
    size: Option<(u32, u32)>,
    /// Nanoseconds for each picture.
    each: Option<u64>,
}

pub(crate) fn read<R: Read + Seek>(mut source: Source<R>) -> Option<Facts> {
    let mut known = Known { scale: USUAL_SCALE, duration: 0.0, last: 0, size: None, each: None };
    let mut at = 0;
    let whole = loop {
        let element = next(&mut source, &mut at, u64::MAX)?;
        if element.id == SEGMENT {
            break element;
        }
    };
    segment(&mut source, whole, &mut known);
    let units = known.duration.max(known.last as f64);
    Some(Facts {
        duration: seconds(units * known.scale as f64 / 1e9),
        size: known.size,
        fps: known.each.filter(|each| *each > 0).and_then(|each| rate(1e9 / each as f64)),
    })
}

fn segment<R: Read + Seek>(source: &mut Source<R>, segment: Element, known: &mut Known) -> Option<()> {
    let mut at = segment.from;
    while let Some(element) = next(source, &mut at, segment.to) {
        match element.id {
            INFO => info(source, element, known)?,
            TRACKS => tracks(source, element, known)?,
            CLUSTER => {
                let mut inner = element.from;
                let first = next(source, &mut inner, element.to)?;
                if first.id == TIME {
                    known.last = known.last.max(number(source, first)?);
                }
                if !element.ends {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(())
}

fn info<R: Read + Seek>(source: &mut Source<R>, info: Element, known: &mut Known) -> Option<()> {
    let mut at = info.from;
    while let Some(element) = next(source, &mut at, info.to) {
        match element.id {
            SCALE => known.scale = number(source, element)?,
            DURATION => known.duration = float(source, element)?,
            _ => {}
        }
    }
    Some(())
}

fn tracks<R: Read + Seek>(source: &mut Source<R>, tracks: Element, known: &mut Known) -> Option<()> {
    let mut at = tracks.from;
    while let Some(entry) = next(source, &mut at, tracks.to) {
        let (mut inner, mut each, mut shown) = (entry.from, None, None);
        while entry.id == ENTRY
            && let Some(element) = next(source, &mut inner, entry.to)
        {
            match element.id {
                EACH => each = Some(number(source, element)?),
                VIDEO => shown = sides(source, element)?,
                _ => {}
            }
        }
        if shown.is_some() && known.size.is_none() {
            (known.size, known.each) = (shown, each);
        }
    }
    Some(())
}

/// The size of a picture; nothing in it is a reason to read on, `None` outside of it is not.
#[expect(clippy::option_option, reason = "whether it could be read, and whether it is a size")]
fn sides<R: Read + Seek>(source: &mut Source<R>, video: Element) -> Option<Option<(u32, u32)>> {
    let (mut at, mut width, mut height) = (video.from, 0, 0);
    while let Some(element) = next(source, &mut at, video.to) {
        match element.id {
            WIDTH => width = number(source, element)?,
            HEIGHT => height = number(source, element)?,
            _ => {}
        }
    }
    Some(size(width, height))
}

fn number<R: Read + Seek>(source: &mut Source<R>, element: Element) -> Option<u64> {
    let length = element.to - element.from;
    (length <= 8).then(|| source.between(element.from, element.to, 8)).flatten().map(|bytes| big(&bytes))
}

fn float<R: Read + Seek>(source: &mut Source<R>, element: Element) -> Option<f64> {
    match element.to - element.from {
        4 => source.at::<4>(element.from).map(|bytes| f64::from(f32::from_be_bytes(bytes))),
        8 => source.at::<8>(element.from).map(f64::from_be_bytes),
        _ => None,
    }
}

/// The element at a place, which is moved behind it. Elements are never longer than what is around them.
fn next<R: Read + Seek>(source: &mut Source<R>, at: &mut u64, to: u64) -> Option<Element> {
    let to = to.min(source.length);
    if *at >= to {
        return None;
    }
    // An id and a length: at most 4 and 8 bytes.
    let head = source.between(*at, to, 12)?;
    let (id, id_length, _) = variable(&head, false)?;
    let (length, more, endless) = variable(head.get(id_length..)?, true)?;
    let from = at.checked_add(u64::try_from(id_length + more).ok()?)?;
    let end = if endless { to } else { from.checked_add(length)?.min(to) };
    *at = end.max(from);
    Some(Element { id, from: from.min(end), to: end, ends: !endless })
}

/// A number whose length is the place of its first set bit: itself, its length, and whether all bits of it are set.
fn variable(bytes: &[u8], strip: bool) -> Option<(u64, usize, bool)> {
    let first = *bytes.first()?;
    let length = usize::try_from(first.leading_zeros()).ok()? + 1;
    let whole = big(bytes.get(..length).filter(|_| length <= 8)?);
    let greatest = (1_u64 << (7 * length)) - 1;
    let plain = whole & greatest;
    Some((if strip { plain } else { whole }, length, plain == greatest))
}
