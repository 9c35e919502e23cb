//! What the headers of films and sounds say, and whether that will do.

use std::{
    io::{Cursor, Read, Seek},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use comfyport_pictures::{Fault, Limits as PictureLimits};
use comfyport_probe::{Container, Facts, probe};

use super::{Format, MediaFault};

/// Where a file is that is looked at.
#[derive(Debug)]
pub enum Place {
    /// In memory.
    Here(Bytes),
    /// On disk.
    File(PathBuf),
}

/// What of a film or a sound is accepted.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it may be; nothing if that does not matter.
    pub duration: Option<Duration>,
    /// How large its pictures may be.
    pub pictures: PictureLimits,
}

/// What can be found out about a film or a sound. Nothing, of anything else.
pub async fn look(format: Format, place: Place) -> Facts {
    let Some(container) = container(format) else { return Facts::default() };
    let looked = tokio::task::spawn_blocking(move || match place {
        Place::Here(data) => read(container, Cursor::new(data)),
        Place::File(path) => {
            std::fs::File::open(path).map_or_else(|_| Facts::default(), |file| read(container, file))
        }
    });
    // Whoever reads strangers' headers may stumble; then nothing is known.
    looked.await.unwrap_or_else(|error| {
        tracing::error!(format = format.name(), %error, "the header of a file could not be looked at");
        Facts::default()
    })
}

fn read(container: Container, data: impl Read + Seek) -> Facts {
    probe(container, data)
}

/// Refuses what is longer or larger than allowed. What is not known is let through: its size in bytes is bounded.
pub fn check(facts: &Facts, limits: &Limits) -> Result<(), MediaFault> {
    if let (Some(found), Some(most)) = (facts.duration, limits.duration)
        && found > most
    {
        return Err(MediaFault::TooLong { found: found.as_secs(), most: most.as_secs() });
    }
    let Some((width, height)) = facts.size else { return Ok(()) };
    let (pixels, side) = (limits.pictures.pixels, limits.pictures.side);
    if u64::from(width) * u64::from(height) > pixels || width.max(height) > side {
        return Err(Fault::TooLarge { width: width.into(), height: height.into(), pixels, side }.into());
    }
    Ok(())
}

fn container(format: Format) -> Option<Container> {
    match format {
        Format::Mp4 | Format::Mov | Format::M4a => Some(Container::Boxes),
        Format::Webm => Some(Container::Matroska),
        Format::Avi => Some(Container::Avi),
        Format::Wav => Some(Container::Wav),
        Format::Flac => Some(Container::Flac),
        Format::Mp3 => Some(Container::Mp3),
        Format::Ogg => Some(Container::Ogg),
        Format::Aac => Some(Container::Aac),
        Format::Png
        | Format::Jpeg
        | Format::Webp
        | Format::Gif
        | Format::Bmp
        | Format::Tiff
        | Format::Glb
        | Format::Fbx
        | Format::Ply
        | Format::Safetensors => None,
    }
}
