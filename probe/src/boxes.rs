//! MP4 and QuickTime (ISO 14496-12): boxes within boxes.

use std::io::{Read, Seek};

use crate::{
    Facts, rate, seconds, size,
    source::{Source, big},
};

/// The most bytes of a table that are looked at.
const TABLE: usize = 1 << 20;

/// A box: its name, and where its content lies.
#[derive(Debug, Clone, Copy)]
struct Part {
    name: [u8; 4],
    from: u64,
    to: u64,
}

/// What is known of a track.
#[derive(Debug, Default)]
struct Track {
    shows: bool,
    size: Option<(u32, u32)>,
    /// Units in a second.
    scale: u64,
    /// How long its header says that it is, in units.
    duration: u64,
    /// How long its pictures are together, in units.
    added: u64,
    /// How many there are.
    samples: u64,
}

pub(crate) fn read<R: Read + Seek>(mut source: Source<R>) -> Option<Facts> {
    let mut facts = Facts::default();
    let movie = find(&mut source, 0, u64::MAX, *b"moov")?;
    let mut at = movie.from;
    let mut scale = 0;
    while let Some(part) = next(&mut source, &mut at, movie.to) {
        match &part.name {
            b"mvhd" => {
                let (units, duration) = header(&mut source, part)?;
                scale = units;
                longer(&mut facts, duration, units);
            }
            // Of films in fragments, whose header says that nothing is there yet.
            b"mvex" => {
                if let Some(extent) = find(&mut source, part.from, part.to, *b"mehd") {
                    let wide = source.at::<1>(extent.from)? == [1];
                    let duration = if wide {
                        said(&source.at::<8>(extent.from + 4)?)
                    } else {
                        said(&source.at::<4>(extent.from + 4)?)
                    };
                    longer(&mut facts, duration, scale);
                }
            }
            b"trak" => {
                if let Some(track) = track(&mut source, part) {
                    track.tell(&mut facts);
                }
            }
            _ => {}
        }
    }
    Some(facts)
}

impl Track {
    fn tell(&self, facts: &mut Facts) {
        longer(facts, self.duration.max(self.added), self.scale);
        if self.shows && facts.size.is_none() {
            facts.size = self.size;
            let time = if self.added > 0 { self.added } else { self.duration };
            if time > 0 && self.samples > 0 {
                facts.fps = rate(self.samples as f64 * self.scale as f64 / time as f64);
            }
        }
    }
}

/// The longest counts.
fn longer(facts: &mut Facts, units: u64, scale: u64) {
    if scale > 0 {
        facts.duration = facts.duration.max(seconds(units as f64 / scale as f64));
    }
}

/// All bits of a length set stand for one that is not known.
fn said(units: &[u8]) -> u64 {
    if units.iter().all(|byte| *byte == u8::MAX) { 0 } else { big(units) }
}

fn track<R: Read + Seek>(source: &mut Source<R>, track: Part) -> Option<Track> {
    let mut known = Track::default();
    let mut at = track.from;
    while let Some(part) = next(source, &mut at, track.to) {
        match &part.name {
            // The size as it is shown is at the end, with 16 bits behind the point.
            b"tkhd" => {
                let end = part.to.checked_sub(8)?;
                let sides = source.at::<8>(end)?;
                let (width, height) = sides.split_at(4);
                known.size = size(big(width) >> 16, big(height) >> 16);
            }
            b"mdia" => media(source, part, &mut known)?,
            _ => {}
        }
    }
    Some(known)
}

fn media<R: Read + Seek>(source: &mut Source<R>, media: Part, known: &mut Track) -> Option<()> {
    let mut at = media.from;
    while let Some(part) = next(source, &mut at, media.to) {
        match &part.name {
            b"mdhd" => (known.scale, known.duration) = header(source, part)?,
            b"hdlr" => known.shows = source.at::<4>(part.from + 8)? == *b"vide",
            b"minf" => {
                if let Some(table) = find(source, part.from, part.to, *b"stbl") {
                    samples(source, table, known);
                }
            }
            _ => {}
        }
    }
    Some(())
}

/// How many samples there are, and how long they are together.
fn samples<R: Read + Seek>(source: &mut Source<R>, table: Part, known: &mut Track) -> Option<()> {
    let mut at = table.from;
    while let Some(part) = next(source, &mut at, table.to) {
        match &part.name {
            b"stts" => {
                let entries = source.between(part.from + 8, part.to, TABLE)?;
                for entry in entries.chunks_exact(8) {
                    let (count, each) = entry.split_at(4);
                    let (count, each) = (big(count), big(each));
                    known.samples = known.samples.saturating_add(count);
                    known.added = known.added.saturating_add(count.saturating_mul(each));
                }
            }
            // How its pictures are coded, and how large they are whatever it is shown at.
            b"stsd" if known.shows => {
                let sides = source.at::<4>(part.from + 40)?;
                let (width, height) = sides.split_at(2);
                known.size = size(big(width), big(height)).or(known.size);
            }
            _ => {}
        }
    }
    Some(())
}

/// Units in a second, and how many there are, of a film or a track.
fn header<R: Read + Seek>(source: &mut Source<R>, part: Part) -> Option<(u64, u64)> {
    Some(if source.at::<1>(part.from)? == [1] {
        let times = source.at::<12>(part.from + 20)?;
        let (scale, duration) = times.split_at(4);
        (big(scale), said(duration))
    } else {
        let times = source.at::<8>(part.from + 12)?;
        let (scale, duration) = times.split_at(4);
        (big(scale), said(duration))
    })
}

fn find<R: Read + Seek>(source: &mut Source<R>, from: u64, to: u64, name: [u8; 4]) -> Option<Part> {
    let mut at = from;
    while let Some(part) = next(source, &mut at, to) {
        if part.name == name {
            return Some(part);
        }
    }
    None
}

/// The box at a place, which is moved behind it. Boxes are never longer than what is around them.
fn next<R: Read + Seek>(source: &mut Source<R>, at: &mut u64, to: u64) -> Option<Part> {
    let to = to.min(source.length);
    let from = *at;
    if from.checked_add(8)? > to {
        return None;
    }
    let start = source.at::<8>(from)?;
    let (length, name) = start.split_at(4);
    let name: [u8; 4] = name.try_into().ok()?;
    let (head, length) = match big(length) {
        0 => (8, to - from),
        1 => (16, big(&source.at::<8>(from + 8)?)),
        length => (8, length),
    };
    if length < head {
        return None;
    }
    let end = from.checked_add(length)?.min(to);
    *at = end;
    Some(Part { name, from: (from + head).min(end), to: end })
}
