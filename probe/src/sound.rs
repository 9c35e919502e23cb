//! Sounds, read by `lofty`.

use std::io::{BufReader, Read, Seek};

use lofty::{
    config::{ParseOptions, ParsingMode},
    file::{AudioFile, FileType},
    probe::Probe,
};

use crate::{Container, Facts};

pub(crate) fn read(container: Container, data: impl Read + Seek) -> Option<Facts> {
    let kind = match container {
        Container::Wav => FileType::Wav,
        Container::Flac => FileType::Flac,
        Container::Mp3 => FileType::Mpeg,
        Container::Aac => FileType::Aac,
        Container::Boxes | Container::Matroska | Container::Avi | Container::Ogg => return None,
    };
    let options =
        ParseOptions::new().read_tags(false).read_cover_art(false).parsing_mode(ParsingMode::Relaxed);
    let probe = Probe::with_file_type(BufReader::new(data), kind);
    let read = probe.options(options).read().ok()?;
    let duration = read.properties().duration();
    Some(Facts { duration: (!duration.is_zero()).then_some(duration), ..Facts::default() })
}
