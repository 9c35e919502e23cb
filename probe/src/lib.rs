//! How long, how wide and how fast a film or a sound is, as far as its headers say. Nothing is decoded.
//!
//! Headers come from strangers. What is read of a file is bounded, in bytes and in steps, and so is what is kept of it: the
//! tables of a film, which list every frame, are added up while they pass by. What cannot be found out is left out, and so is
//! what cannot be true.
//!
//! Films and Ogg are read by this crate: the libraries that there are expand those tables, have licences of another kind, or
//! panic over some headers. Other sounds are read by `lofty`, with its tags left out.

use std::{
    io::{Read, Seek},
    time::Duration,
};

mod avi;
mod boxes;
mod matroska;
mod ogg;
mod sound;
mod source;

use source::Source;

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// MP4, QuickTime, M4A.
    Boxes,
    /// WebM and Matroska.
    Matroska,
    /// AVI.
    Avi,
    /// WAV.
    Wav,
    /// FLAC.
    Flac,
    /// MP3.
    Mp3,
    /// Opus, Vorbis or Speex in Ogg.
    Ogg,
    /// AAC without a container.
    Aac,
}

/// What was found out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Facts {
    /// How long it is: the longest that any of its headers says. [`Duration::MAX`] is what nothing can be.
    pub duration: Option<Duration>,
    /// Width and height of its picture, in pixels.
    pub size: Option<(u32, u32)>,
    /// Pictures in a second.
    pub fps: Option<f64>,
}

/// Looks at a file. Nothing is found out of one that is damaged, or not laid out like that.
pub fn probe(container: Container, data: impl Read + Seek) -> Facts {
    let facts = match container {
        Container::Boxes => Source::new(data).and_then(boxes::read),
        Container::Matroska => Source::new(data).and_then(matroska::read),
        Container::Avi => Source::new(data).and_then(avi::read),
        Container::Ogg => Source::new(data).and_then(ogg::read),
        Container::Wav | Container::Flac | Container::Mp3 | Container::Aac => sound::read(container, data),
    };
    facts.unwrap_or_default()
}

/// A length of time, if it is one. What is beyond all measure is the longest there is, and not unknown.
fn seconds(seconds: f64) -> Option<Duration> {
    (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// A number of pictures in a second that may be one.
fn rate(rate: f64) -> Option<f64> {
    (rate.is_finite() && rate > 0.0 && rate <= 1000.0).then_some(rate)
}

/// A size that may be one.
fn size(width: u64, height: u64) -> Option<(u32, u32)> {
    let side = |side: u64| u32::try_from(side).ok().filter(|side| *side > 0);
    Some((side(width)?, side(height)?))
}
