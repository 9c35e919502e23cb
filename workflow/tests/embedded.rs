//! Files that ComfyUI 0.3.64 saved from small graphs, in `saved/`, and files that are made to be awkward.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, fs, io::Write as _};

use comfyport_workflow::{Diagnostic, Source, read};
use flate2::{Compression, write::ZlibEncoder};

const GRAPH: &str = r#"{"2":{"class_type":"SaveImage","inputs":{}}}"#;

fn saved() -> BTreeMap<String, Vec<u8>> {
    let folder = format!("{}/tests/saved", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect()
}

fn class(source: &Source) -> &str {
    &source.graph.node("2").unwrap().class_type
}

fn fault(bytes: &[u8]) -> Diagnostic {
    read(bytes).unwrap_err().remove(0)
}

#[test]
fn every_kind_of_file_that_comfyui_saves_is_read() {
    let files = saved();
    let found: BTreeMap<&str, String> =
        files.iter().map(|(name, bytes)| (name.as_str(), class(&read(bytes).unwrap()).to_owned())).collect();
    let expected = [
        ("animated.png", "SaveAnimatedPNG"),
        ("both.png", "SaveImage"),
        ("both.webp", "SaveAnimatedWEBP"),
        ("film.mp4", "SaveVideo"),
        ("film.webm", "SaveWEBM"),
        ("latent.latent", "SaveLatent"),
        ("mesh.glb", "SaveGLB"),
        ("picture.png", "SaveImage"),
        ("sound.flac", "SaveAudio"),
        ("sound.mp3", "SaveAudioMP3"),
        ("sound.opus", "SaveAudioOpus"),
    ];
    assert_eq!(found, expected.map(|(name, class)| (name, class.to_owned())).into());
}

/// A file that breaks off, or lies about a length, is read or refused: there is no third way.
#[test]
fn files_that_break_off_or_lie_are_read_or_refused() {
    for (name, bytes) in saved() {
        for cut in (0..bytes.len()).step_by(if bytes.len() > 4000 { 31 } else { 2 }) {
            if let Err(found) = read(&bytes[..cut]) {
                assert!(found.iter().any(Diagnostic::is_error), "{name} cut at {cut}");
            }
            for lie in [[0xFF; 8], [0x7F; 8], [0; 8]] {
                let mut lying = bytes.clone();
                let end = (cut + 4).min(bytes.len());
                lying[cut..end].copy_from_slice(&lie[..end - cut]);
                drop(read(&lying));
            }
        }
    }
}

fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in chunks.iter().chain(&[(b"IEND", [].as_slice())]) {
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(*kind);
        bytes.extend(*content);
        bytes.extend([0; 4]);
    }
    bytes
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn pngs_text_chunks_are_read_in_all_their_forms() {
    let packed = deflated(GRAPH.as_bytes());
    for (kind, content) in [
        (b"tEXt", [b"prompt\0", GRAPH.as_bytes()].concat()),
        (b"zTXt", [b"prompt\0\0".as_slice(), &packed].concat()),
        (b"iTXt", [b"prompt\0\0\0en\0\0", GRAPH.as_bytes()].concat()),
        (b"iTXt", [b"Prompt\0\x01\0\0\0".as_slice(), &packed].concat()),
    ] {
        let source = read(&png(&[(b"tEXt", b"Software\0x"), (kind, &content)])).unwrap();
        assert_eq!(class(&source), "SaveImage");
    }
}

#[test]
fn what_unfolds_without_end_is_left_folded() {
    let bomb = deflated(&vec![b' '; 40 << 20]);
    assert!(bomb.len() < 1_000_000);
    let found = fault(&png(&[(b"zTXt", &[b"prompt\0\0".as_slice(), &bomb].concat())]));
    assert_eq!(found.code, "no-metadata");
}

#[test]
fn files_without_a_workflow_say_what_to_do() {
    let flac = [b"fLaC\x80\0\0\x22".as_slice(), &[0; 34]].concat();
    let glb = [b"glTF\x02\0\0\0\x20\0\0\0\x0c\0\0\0JSON".as_slice(), b"{\"asset\":{}}"].concat();
    for (kind, bytes) in [
        ("PNG picture", png(&[(b"tEXt", b"parameters\0a cat, Steps: 20")])),
        ("WebP picture", b"RIFF\x10\0\0\0WEBPVP8L\x04\0\0\0\0\0\0\0".to_vec()),
        ("JPEG picture", b"\xFF\xD8\xFF\xE0\0\x04ab\xFF\xDA".to_vec()),
        ("FLAC sound", flac),
        ("MP4 film", b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08mdat".to_vec()),
        ("MP3 sound", b"ID3\x04\0\0\0\0\0\x00".to_vec()),
        ("GLB model", glb),
    ] {
        let found = fault(&bytes);
        assert_eq!((found.code, found.message), ("no-metadata", format!("this {kind} holds no workflow")));
        let help = found.help.unwrap();
        assert!(help.contains("image host") && help.contains("Export (API)"), "{help}");
    }
    let broken = fault(b"\x89PNG\r\n\x1a\n\xFF\xFF\xFF\xFFtEXtprompt\0{");
    assert_eq!(broken.code, "damaged-file");
}

#[test]
fn the_prompt_comes_before_the_editors_form_of_it() {
    let workflow = br#"{"nodes":[],"links":[]}"#;
    let texts = |first: &[u8], second: &[u8]| png(&[(b"tEXt", first), (b"tEXt", second)]);
    let (prompt, workflow) =
        ([b"prompt\0", GRAPH.as_bytes()].concat(), [b"workflow\0", workflow.as_slice()].concat());
    assert_eq!(class(&read(&texts(&workflow, &prompt)).unwrap()), "SaveImage");
    // A prompt that was cut off does not hide a workflow that was not.
    let only = fault(&texts(b"prompt\0{\"2\":", &workflow));
    assert_ne!(only.code, "no-metadata");
    assert_ne!(only.code, "damaged-file");
    assert_eq!(fault(&png(&[(b"tEXt", b"prompt\0{\"2\":")])).code, "damaged-file");
}

fn mp4_box(kind: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).unwrap();
    [length.to_be_bytes().as_slice(), kind, content].concat()
}

#[test]
fn a_comment_may_hold_both() {
    let comment =
        format!(r#"{{"prompt":{},"workflow":{{"nodes":[]}}}}"#, serde_json::to_string(GRAPH).unwrap());
    let data = mp4_box(b"data", &[b"\0\0\0\x01\0\0\0\0", comment.as_bytes()].concat());
    let list = mp4_box(b"ilst", &mp4_box(b"\xa9cmt", &data));
    let meta = mp4_box(b"meta", &[b"\0\0\0\0".as_slice(), &mp4_box(b"hdlr", &[0; 25]), &list].concat());
    let film = [mp4_box(b"ftyp", b"isom"), mp4_box(b"moov", &mp4_box(b"udta", &meta))].concat();
    assert_eq!(class(&read(&film).unwrap()), "SaveImage");
}

#[test]
fn sounds_with_wide_characters_and_many_pages_are_read() {
    let wide = |text: &str| -> Vec<u8> {
        [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
    };
    let frame = [&[1], wide("prompt").as_slice(), &[0, 0], &wide(GRAPH), &[0, 0]].concat();
    let length = u32::try_from(frame.len()).unwrap();
    let tag = [b"TXXX".as_slice(), &length.to_be_bytes(), &[0, 0], &frame].concat();
    let seven = [0, 0, u8::try_from(tag.len() >> 7).unwrap(), u8::try_from(tag.len() & 0x7F).unwrap()];
    assert_eq!(class(&read(&[b"ID3\x03\0\0".as_slice(), &seven, &tag].concat()).unwrap()), "SaveImage");

    let comment = format!("PROMPT={GRAPH}{}", " ".repeat(600));
    let length = u32::try_from(comment.len()).unwrap();
    let packet =
        [b"OpusTags\0\0\0\0\x01\0\0\0".as_slice(), &length.to_le_bytes(), comment.as_bytes()].concat();
    let page = |segments: &[&[u8]]| {
        let lengths: Vec<u8> = segments.iter().map(|segment| u8::try_from(segment.len()).unwrap()).collect();
        let count = u8::try_from(segments.len()).unwrap();
        [b"OggS".as_slice(), &[0; 22], &[count], &lengths, &segments.concat()].concat()
    };
    let (first, rest) = packet.split_at(510);
    let (one, two) = first.split_at(255);
    let sound = [page(&[b"OpusHead"]), page(&[one, two]), page(&[rest])].concat();
    assert_eq!(class(&read(&sound).unwrap()), "SaveImage");
}
