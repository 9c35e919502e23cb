//! Headers as they are, and as nobody should write them.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

use std::{io::Cursor, time::Duration};

use comfyport_probe::{Container, Facts, probe};
use proptest::prelude::*;

fn look(container: Container, data: &[u8]) -> Facts {
    probe(container, Cursor::new(data))
}

fn part(name: [u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], &name, content].concat()
}

/// Units in a second and how many there are, behind what is not looked at.
fn header(name: [u8; 4], scale: u32, duration: u32) -> Vec<u8> {
    part(name, &[&[0; 12][..], &scale.to_be_bytes(), &duration.to_be_bytes(), &[0; 80]].concat())
}

/// A film of one track with these entries of its table of times.
fn film(scale: u32, duration: u32, times: &[(u32, u32)], size: (u16, u16)) -> Vec<u8> {
    let (width, height) = size;
    let entries: Vec<u8> =
        times.iter().flat_map(|(count, each)| [count.to_be_bytes(), each.to_be_bytes()].concat()).collect();
    let stts = part(*b"stts", &[&[0; 4][..], &(times.len() as u32).to_be_bytes(), &entries].concat());
    let coded = [&[0; 24][..], &width.to_be_bytes(), &height.to_be_bytes(), &[0; 50]].concat();
    let stsd = part(*b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &part(*b"avc1", &coded)].concat());
    let stbl = part(*b"stbl", &[stsd, stts].concat());
    let minf = part(*b"minf", &stbl);
    let hdlr = part(*b"hdlr", &[&[0; 8][..], b"vide", &[0; 12]].concat());
    let mdia = part(*b"mdia", &[header(*b"mdhd", scale, duration), hdlr, minf].concat());
    let shown = [u32::from(width) << 16, u32::from(height) << 16].map(u32::to_be_bytes).concat();
    let tkhd = part(*b"tkhd", &[&[0; 76][..], &shown].concat());
    let trak = part(*b"trak", &[tkhd, mdia].concat());
    let moov = part(*b"moov", &[header(*b"mvhd", 1000, 0), trak].concat());
    [part(*b"ftyp", b"isom\0\0\x02\0isommp41"), part(*b"mdat", &[0; 100]), moov].concat()
}

fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    [id, &(0x0100_0000_0000_0000_u64 | content.len() as u64).to_be_bytes(), content].concat()
}

fn webm(duration: Option<f64>, clusters: &[u32]) -> Vec<u8> {
    let length = duration.map(|duration| element(&[0x44, 0x89], &duration.to_be_bytes())).unwrap_or_default();
    let info = element(
        &[0x15, 0x49, 0xA9, 0x66],
        &[element(&[0x2A, 0xD7, 0xB1], &1_000_000_u32.to_be_bytes()), length].concat(),
    );
    let video = element(&[0xE0], &[element(&[0xB0], &[2, 128]), element(&[0xBA], &[1, 104])].concat());
    let entry =
        [element(&[0x83], &[1]), element(&[0x23, 0xE3, 0x83], &40_000_000_u32.to_be_bytes()), video].concat();
    let tracks = element(&[0x16, 0x54, 0xAE, 0x6B], &element(&[0xAE], &entry));
    let cluster = |time: &u32| {
        let content = [element(&[0xE7], &time.to_be_bytes()), element(&[0xA3], &[0; 50])].concat();
        element(&[0x1F, 0x43, 0xB6, 0x75], &content)
    };
    let content = [info, tracks, clusters.iter().flat_map(cluster).collect()].concat();
    let head = element(&[0x1A, 0x45, 0xDF, 0xA3], &element(&[0x42, 0x82], b"webm"));
    [head, element(&[0x18, 0x53, 0x80, 0x67], &content)].concat()
}

fn avi(each: u32, frames: u32, width: u32, height: u32) -> Vec<u8> {
    let fields = [each, 0, 0, 0, frames, 0, 0, 0, width, height, 0, 0, 0, 0].map(u32::to_le_bytes).concat();
    let avih = [&b"avih"[..], &(fields.len() as u32).to_le_bytes(), &fields].concat();
    let list = [&b"LIST"[..], &(avih.len() as u32 + 4).to_le_bytes(), b"hdrl", &avih].concat();
    [&b"RIFF"[..], &(list.len() as u32 + 4).to_le_bytes(), b"AVI ", &list].concat()
}

fn wav(seconds: u32) -> Vec<u8> {
    let (rate, data) = (8000_u32, vec![0_u8; 8000 * seconds as usize]);
    let form = [
        &1_u16.to_le_bytes()[..],
        &1_u16.to_le_bytes(),
        &rate.to_le_bytes(),
        &rate.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &8_u16.to_le_bytes(),
    ]
    .concat();
    let chunk =
        |name: &[u8; 4], content: &[u8]| [&name[..], &(content.len() as u32).to_le_bytes(), content].concat();
    let body = [b"WAVE".to_vec(), chunk(b"fmt ", &form), chunk(b"data", &data)].concat();
    chunk(b"RIFF", &body)
}

/// Frames of 26 ms, without any word of how many there are.
fn mp3(frames: usize) -> Vec<u8> {
    let frame = [&[0xFF, 0xFB, 0x90, 0x00][..], &[0; 413]].concat();
    frame.repeat(frames)
}

fn flac(seconds: u64) -> Vec<u8> {
    // 44,100 Hz, two channels, 16 bits, and how many samples there are.
    let packed = 44_100_u64 << 44 | 1 << 41 | 15 << 36 | (44_100 * seconds);
    let info = [&[0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0][..], &packed.to_be_bytes(), &[0; 16]].concat();
    [&b"fLaC\x80\0\0\x22"[..], &info, &[0xFF, 0xF8, 0xC9, 0x18, 0, 0xC2], &[0; 40]].concat()
}

/// Two pages: what it is, and how late it is at its end.
fn opus(time: u64) -> Vec<u8> {
    let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
    let page = |time: u64, number: u8, content: &[u8]| {
        let rest = [7, 7, 7, 7, number, 0, 0, 0, 0, 0, 0, 0, 1];
        let places = [&b"OggS\0\0"[..], &time.to_le_bytes(), &rest].concat();
        [&places[..], &[content.len() as u8], content].concat()
    };
    [page(0, 0, head), page(time, 1, &[0; 50]), page(u64::MAX, 2, &[0; 5])].concat()
}

#[test]
fn films_say_how_long_they_are() {
    let known = look(Container::Boxes, &film(12_800, 12_800 * 8, &[(200, 512)], (640, 360)));
    let expected = Facts { duration: Some(Duration::from_secs(8)), size: Some((640, 360)), fps: Some(25.0) };
    assert_eq!(known, expected);
    // Whatever its header says, its pictures take as long as they take.
    let lies = look(Container::Boxes, &film(1000, 1, &[(3600, 1000)], (2, 2)));
    assert_eq!(lies.duration, Some(Duration::from_hours(1)));
    let unknown = look(Container::Boxes, &film(1000, u32::MAX, &[], (2, 2)));
    assert_eq!((unknown.duration, unknown.fps), (None, None));
    let known = look(Container::Matroska, &webm(Some(2500.0), &[0, 1000]));
    let expected =
        Facts { duration: Some(Duration::from_millis(2500)), size: Some((640, 360)), fps: Some(25.0) };
    assert_eq!(known, expected);
    let live = look(Container::Matroska, &webm(None, &[0, 5000, 10_000]));
    assert_eq!(live.duration, Some(Duration::from_secs(10)));
    for none in [f64::NAN, -1.0, 0.0] {
        assert_eq!(look(Container::Matroska, &webm(Some(none), &[])).duration, None, "{none}");
    }
    // Too long to be true is too long.
    for absurd in [f64::INFINITY, 1e300] {
        let known = look(Container::Matroska, &webm(Some(absurd), &[]));
        assert_eq!(known.duration, Some(Duration::MAX), "{absurd}");
    }
    let known = look(Container::Avi, &avi(40_000, 250, 320, 240));
    let expected = Facts { duration: Some(Duration::from_secs(10)), size: Some((320, 240)), fps: Some(25.0) };
    assert_eq!(known, expected);
    assert_eq!(look(Container::Avi, &avi(0, 250, 0, 240)), Facts::default());
}

#[test]
fn sounds_say_how_long_they_are() {
    let long = |container, data: &[u8]| look(container, data).duration.unwrap().as_secs_f64();
    assert!((long(Container::Wav, &wav(3)) - 3.0).abs() < 0.01);
    assert!((long(Container::Mp3, &mp3(383)) - 10.0).abs() < 0.2);
    assert!((long(Container::Flac, &flac(90)) - 90.0).abs() < 0.01);
    assert!((long(Container::Ogg, &opus(48_000 * 7 + 312)) - 7.0).abs() < 0.01);
}

/// A table that says that it is as long as can be, in a file that is short; and one that is long.
#[test]
fn tables_are_not_believed_and_not_kept() {
    let mut data = film(1000, 0, &[(1, 1000)], (2, 2));
    let at = data.windows(4).position(|name| name == b"stts").unwrap();
    data[at + 8..at + 12].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(look(Container::Boxes, &data).duration, Some(Duration::from_secs(1)));
    let times = vec![(u32::MAX, u32::MAX); 100_000];
    let known = look(Container::Boxes, &film(1, 0, &times, (2, 2)));
    assert!(known.duration.is_some_and(|duration| duration > Duration::from_hours(1_000_000)));
    // Boxes without end, one after the other.
    let many = [part(*b"ftyp", b"isom"), part(*b"free", b"").repeat(1_000_000)].concat();
    assert_eq!(look(Container::Boxes, &many), Facts::default());
    let endless = [
        &[0x1A, 0x45, 0xDF, 0xA3, 0x80][..],
        &[0x18, 0x53, 0x80, 0x67, 0xFF],
        &[0xEC, 0x80].repeat(1_000_000),
    ]
    .concat();
    assert_eq!(look(Container::Matroska, &endless), Facts::default());
}

fn samples() -> Vec<(Container, Vec<u8>)> {
    vec![
        (Container::Boxes, film(12_800, 102_400, &[(100, 512), (100, 512)], (640, 360))),
        (Container::Matroska, webm(Some(2500.0), &[0, 1000])),
        (Container::Avi, avi(40_000, 250, 320, 240)),
        (Container::Wav, wav(1)[..2000].to_vec()),
        (Container::Mp3, mp3(8)),
        (Container::Flac, flac(90)),
        (Container::Ogg, opus(48_000 * 7 + 312)),
        (Container::Aac, [0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(10)),
    ]
}

/// More of them with `PROBE_CASES`.
fn cases() -> u32 {
    std::env::var("PROBE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3000)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(), ..ProptestConfig::default() })]

    /// Whatever is changed, cut or added: it ends, soon, and without a panic.
    #[test]
    fn damaged_headers_are_read_to_no_harm(
        which in 0..8_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![0_u8, 1, 2, 4, 0x7F, 0x80, 0xFE, 0xFF])), 0..12),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
        again in 0..3_usize,
    ) {
        let (container, mut data) = samples().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(data.len());
            data[at] = byte;
        }
        if cuts {
            data.truncate(cut.index(data.len()));
        }
        let data = data.repeat(again + 1);
        for other in [container, samples()[(which + 1) % 8].0] {
            let facts = look(other, &data);
            prop_assert!(facts.fps.is_none_or(|fps| fps > 0.0 && fps <= 1000.0));
        }
    }
}

/// Files of other programs, in a folder that `PROBE_FILES` names, called after what they are: `3500ms-320x240-25fps.mp4`.
#[test]
#[ignore = "needs files"]
fn files_of_others_are_what_they_are() {
    let folder = std::env::var("PROBE_FILES").expect("a folder of films and sounds");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let container = match path.extension().unwrap().to_str().unwrap() {
            "mp4" | "mov" | "m4a" => Container::Boxes,
            "webm" | "mkv" => Container::Matroska,
            "avi" => Container::Avi,
            "wav" => Container::Wav,
            "flac" => Container::Flac,
            "mp3" => Container::Mp3,
            "ogg" | "opus" => Container::Ogg,
            "aac" => Container::Aac,
            other => panic!("{other}"),
        };
        let facts = probe(container, std::fs::File::open(&path).unwrap());
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut said = name.split('-');
        let milliseconds: f64 = said.next().unwrap().trim_end_matches("ms").parse().unwrap();
        let found = facts.duration.map_or(0.0, |duration| duration.as_secs_f64() * 1000.0);
        // Nothing in a stream of AAC says how long it is.
        let apart = if container == Container::Aac { milliseconds / 10.0 } else { 150.0 };
        assert!((found - milliseconds).abs() < apart, "{}: {facts:?}", path.display());
        if let Some(size) = said.next().and_then(|size| size.split_once('x')) {
            assert_eq!(
                facts.size.map(|(width, height)| (width.to_string(), height.to_string())),
                Some((size.0.to_owned(), size.1.to_owned())),
                "{}",
                path.display()
            );
            let fps: f64 = said.next().unwrap().trim_end_matches("fps").parse().unwrap();
            assert!(
                facts.fps.is_some_and(|found| (found - fps).abs() < 0.5),
                "{}: {facts:?}",
                path.display()
            );
        }
        seen += 1;
    }
    assert!(seen > 0);
}
