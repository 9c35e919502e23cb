//! Files that ComfyUI saved, which hold the workflow they were made from; and files that only look like them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    containers::{
        CONTAINERS, atom, bomb, exif, film, flac_blocks, mesh, png, png_chunk, png_compressed, png_folded,
        png_plain, riff,
    },
    process::run,
};

/// What ComfyUI ran.
fn prompt() -> String {
    json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], "upscale_method": "lanczos", "width": 640,
            "height": 480, "crop": "disabled"}, "_meta": {"title": "Größe"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "scaled"}},
    })
    .to_string()
}

/// The same as the editor saves it.
fn workflow() -> String {
    let input = |name: &str, link: u32| json!({"name": name, "type": "IMAGE", "link": link});
    let output = |link: u32| json!([{"name": "IMAGE", "type": "IMAGE", "links": [link]}]);
    json!({
        "nodes": [
            {"id": 1, "type": "LoadImage", "inputs": [], "outputs": output(1), "widgets_values": ["photo.png", "image"]},
            {"id": 2, "type": "ImageScale", "title": "Größe", "inputs": [input("image", 1)], "outputs": output(2),
                "widgets_values": ["lanczos", 640, 480, "disabled"]},
            {"id": 3, "type": "SaveImage", "inputs": [input("images", 2)], "outputs": [], "widgets_values": ["scaled"]},
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
        "version": 0.4,
    })
    .to_string()
}

/// Reports of `check` by file name, each without the name.
fn reports(output: &Output) -> BTreeMap<String, Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let endpoints = report["endpoints"].as_array().unwrap().iter().cloned();
    endpoints
        .map(|mut endpoint| {
            let endpoint_map = endpoint.as_object_mut().unwrap();
            let file = PathBuf::from(endpoint_map.remove("file").unwrap().as_str().unwrap());
            endpoint_map.remove("path");
            endpoint_map.remove("title");
            (file.file_name().unwrap().to_str().unwrap().to_owned(), endpoint)
        })
        .collect()
}

fn check(folder: &Path, files: &[PathBuf]) -> BTreeMap<String, Value> {
    assert!(!files.is_empty(), "{}", folder.display());
    let arguments = ["check", "--format", "json"].into_iter();
    let output = run(&arguments.chain(files.iter().map(|file| file.to_str().unwrap())).collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    reports(&output)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn each_kind_of_file_is_checked_as_the_workflow_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (prompt, workflow) = (prompt(), workflow());
    let texts: &[(&str, &[(&str, &str)])] = &[
        ("prompt", &[("prompt", &prompt)]),
        ("workflow", &[("workflow", &workflow)]),
        ("both", &[("workflow", &workflow), ("prompt", &prompt)]),
    ];
    let mut files = vec![
        write(folder.path(), "prompt.json", prompt.as_bytes()),
        write(folder.path(), "workflow.json", workflow.as_bytes()),
    ];
    for container in CONTAINERS {
        for (held, texts) in texts {
            let name = format!("{}-{held}.{}", container.name, container.ending);
            files.push(write(folder.path(), &name, &(container.make)(texts)));
        }
    }
    let reports = check(folder.path(), &files);
    assert_eq!(reports.len(), 2 + CONTAINERS.len() * texts.len());
    let (of_prompt, of_workflow) = (&reports["prompt.json"], &reports["workflow.json"]);
    for plain in [of_prompt, of_workflow] {
        let names: Vec<&str> =
            plain["params"].as_array().unwrap().iter().map(|param| param["name"].as_str().unwrap()).collect();
        assert_eq!(&names[..3], ["image", "width", "height"], "{plain}");
        assert_eq!(plain["outputs"][0]["kind"], "image");
    }
    for (name, report) in &reports {
        let expected = if name.contains("workflow.") { of_workflow } else { of_prompt };
        assert_eq!(report, expected, "{name}");
    }
}

/// A file that breaks off before its text ends is refused with what to do; one that breaks off after it is as good.
#[test]
fn truncated_files_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let prompt = prompt();
    let mut files = vec![write(folder.path(), "whole.json", prompt.as_bytes())];
    for container in CONTAINERS {
        let bytes = (container.make)(&[("prompt", &prompt)]);
        for part in 1..20 {
            let name = format!("{}-{part}.{}", container.name, container.ending);
            files.push(write(folder.path(), &name, &bytes[..bytes.len() * part / 20]));
        }
    }
    let reports = check(folder.path(), &files);
    let (mut read, mut refused) = (0, 0);
    for (name, report) in &reports {
        if report == &reports["whole.json"] {
            read += 1;
            continue;
        }
        refused += 1;
        let found = report["diagnostics"].as_array().unwrap();
        assert!(
            found.iter().any(|one| one["severity"] == "error" && one["help"].is_string()),
            "{name}: {report}"
        );
    }
    assert_eq!((read + refused), 1 + CONTAINERS.len() * 19);
    // The picture itself comes after the text in a PNG, so that a part of it is enough.
    assert!(read > 3 && refused > CONTAINERS.len() * 10, "{read} read, {refused} refused");
}

/// Runs `check` with at most a gigabyte to address and a minute of computing.
fn check_within_limits(files: &[PathBuf]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1048576; ulimit -t 60; exec \"$0\" check --format json \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_comfyport")).args(files).stdin(Stdio::null());
    command.output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn lengths_that_lie_and_texts_that_unfold_without_end_cost_little() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> =
        hostile().into_iter().map(|(name, bytes)| write(folder.path(), name, &bytes)).collect();
    let output = check_within_limits(&files);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{:?} {said}", output.status);
    assert!(!said.contains("panicked"), "{said}");
    let reports = reports(&output);
    assert_eq!(reports.len(), files.len());
    for (name, report) in reports {
        let found = &report["diagnostics"][0];
        let code = found["code"].as_str().unwrap_or_default();
        let expected = if name.starts_with("whole-") { "no-metadata" } else { "damaged-file" };
        assert_eq!(code, expected, "{name}: {report}");
        assert!(found["help"].as_str().unwrap().contains("Export (API)"), "{name}: {report}");
    }
}

/// Those called `whole-` can be followed to their end; the others break off before any workflow.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let prompt = prompt();
    let lying = |mut chunk: Vec<u8>| {
        chunk[..4].copy_from_slice(&[0xFF; 4]);
        chunk
    };
    let mut files = vec![
        ("long-chunk.png", png(&[lying(png_plain("prompt", prompt.as_bytes()))])),
        (
            "endless-chunk.png",
            png(&[lying(png_chunk(b"IDAT", &[0; 64])), png_plain("prompt", prompt.as_bytes())]),
        ),
        ("whole-bomb.png", png(&[png_folded("prompt", &bomb(8 << 10))])),
        ("whole-many-bombs.png", png(&vec![png_folded("prompt", &bomb(31)); 1000])),
        ("whole-no-stream.png", png(&[png_folded("prompt", &[0x78; 64])])),
        ("whole-bomb-of-brackets.png", png(&[png_compressed("prompt", &vec![b'['; 30 << 20])])),
        ("whole-no-text.png", png(&vec![png_plain("prompt", b"a cat"); 10_000])),
    ];
    files.extend(hostile_webp(&prompt));
    files.extend(hostile_flac(&prompt));
    files.extend(hostile_mp4(&prompt));
    files.extend(hostile_glb(&prompt));
    files
}

fn hostile_webp(prompt: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut long = riff(&[(b"EXIF", &exif(&[("prompt", prompt)]))]);
    long[16..20].copy_from_slice(&[0xFF; 4]);
    let mut count = exif(&[("prompt", prompt)]);
    count[14..18].copy_from_slice(&[0xFF; 4]);
    let mut place = exif(&[("prompt", prompt)]);
    place[18..22].copy_from_slice(&[0xFF; 4]);
    // 65,535 tags that all mean the same ten megabytes.
    let entry = [0x0F, 1, 2, 0, 0, 0, 0xA0, 0, 8, 0, 0, 0];
    let text = format!("prompt:{}", " ".repeat(10 << 20));
    let mut shared = b"II*\0\0\0\0\0".to_vec();
    shared.extend(text.bytes());
    let directory = u32::try_from(shared.len()).unwrap().to_le_bytes();
    shared[4..8].copy_from_slice(&directory);
    shared.extend([0xFF, 0xFF]);
    shared.extend(entry.repeat(65_535));
    vec![
        ("long-chunk.webp", long),
        ("whole-count.webp", riff(&[(b"EXIF", &count)])),
        ("whole-place.webp", riff(&[(b"EXIF", &place)])),
        ("whole-shared.webp", riff(&[(b"EXIF", &shared)])),
        ("whole-no-directory.webp", riff(&[(b"EXIF", b"II*\0\xFF\xFF\xFF\xFF")])),
    ]
}

fn hostile_flac(prompt: &str) -> Vec<(&'static str, Vec<u8>)> {
    let comments = |body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        flac_blocks(&[&[0x84, length[1], length[2], length[3]], body].concat())
    };
    let entry =
        [u32::try_from(prompt.len() + 7).unwrap().to_le_bytes().as_slice(), b"prompt=", prompt.as_bytes()]
            .concat();
    vec![
        ("long-block.flac", flac_blocks(&[&[0x84, 0xFF, 0xFF, 0xFF], entry.as_slice()].concat())),
        ("vendor.flac", comments(&[&[0xFF; 4], entry.as_slice()].concat())),
        ("count.flac", comments(&[&[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], b"\0\0\0\0".as_slice()].concat())),
        (
            "comment.flac",
            comments(&[&[0, 0, 0, 0, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], b"prompt=".as_slice()].concat()),
        ),
    ]
}

fn hostile_mp4(prompt: &str) -> Vec<(&'static str, Vec<u8>)> {
    let head = atom(b"ftyp", b"isom\0\0\x02\0isomiso2");
    let after = |atom: &[u8]| [head.as_slice(), atom].concat();
    let gigantic =
        |length: u64| [b"\0\0\0\x01moov".as_slice(), &length.to_be_bytes(), prompt.as_bytes()].concat();
    let item = |number: u32| atom(&number.to_be_bytes(), &atom(b"data", b"\0\0\0\x01\0\0\0\0{}"));
    let keys = atom(b"keys", &[0xFF; 8]);
    vec![
        ("gigantic.mp4", after(&gigantic(1 << 62))),
        ("greatest.mp4", after(&gigantic(u64::MAX))),
        ("less-than-its-head.mp4", after(&gigantic(3))),
        ("four-gigabytes.mp4", after(b"\xFF\xFF\xFF\xFFmdat0123")),
        ("backwards.mp4", after(b"\0\0\0\x04moov")),
        ("whole-numbers.mp4", film(&[keys, atom(b"ilst", &[item(0), item(u32::MAX)].concat())])),
        ("whole-inner.mp4", film(&[b"\xFF\xFF\xFF\xFFilst".to_vec(), atom(b"ilst", &[])])),
    ]
}

fn hostile_glb(prompt: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut long = mesh(format!(r#"{{"asset":{{"extras":{{"prompt":{prompt}}}}}}}"#).as_bytes());
    long[12..16].copy_from_slice(&[0xFF; 4]);
    let deep = format!(r#"{{"asset":{{"extras":{}1{}}}}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    vec![
        ("long-chunk.glb", long),
        ("deep.glb", mesh(deep.as_bytes())),
        ("other-chunk.glb", b"glTF\x02\0\0\0\x20\0\0\0\x04\0\0\0BIN\0{}  ".to_vec()),
        ("whole-other-extras.glb", mesh(br#"{"asset":{"extras":[["prompt"]]},"extras":7}"#)),
    ]
}

#[test]
fn a_film_of_hours_is_refused_by_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "film.mp4", &atom(b"ftyp", b"isom"));
    // Sparse: it is long and takes no place.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    let output = run(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("512 MiB") && said.contains("Export (API)"), "{said}");
}
