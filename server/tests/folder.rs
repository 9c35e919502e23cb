//! A folder of workflows, one look after the other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::{fs, path::Path};

use comfyport_server::{
    dynamic::{Folder, Limits},
    endpoints::Entry,
};

const LIMITS: Limits = Limits { files: 100, file_bytes: 1 << 20, diagnostics: 10 };

const INVERT: &str = r#"{
    "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}}
}"#;

fn open(folder: &Path) -> Folder {
    Folder::open(folder.to_owned(), LIMITS, &[]).unwrap()
}

fn only(entries: Option<Vec<Entry>>) -> Entry {
    let entries = entries.unwrap();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    entry.clone()
}

fn title(entry: &Entry) -> String {
    entry.endpoint.as_ref().unwrap().title.to_string()
}

#[test]
fn a_file_that_is_still_being_written_is_left_alone() {
    let (folder, name) = (tempfile::tempdir().unwrap(), "invert.json");
    let mut looked = open(folder.path());
    assert!(looked.look().unwrap_or_default().is_empty());
    for end in [10, INVERT.len() / 2, INVERT.len() - 1] {
        fs::write(folder.path().join(name), &INVERT[..end]).unwrap();
        assert!(looked.look().is_none(), "{end}");
    }
    fs::write(folder.path().join(name), INVERT).unwrap();
    assert!(looked.look().is_none());
    let entry = only(looked.look());
    assert!(entry.endpoint.is_some() && entry.file.unwrap().usable);
    assert!(looked.look().is_none());
}

#[test]
fn a_change_counts_once_all_files_of_a_workflow_rest() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("invert.json"), INVERT).unwrap();
    let mut looked = open(folder.path());
    assert_eq!(title(&only(looked.look())), "Invert");
    let sidecar = folder.path().join("invert.toml");
    // Half of it is a sidecar, too, and says something else.
    fs::write(&sidecar, "title = \"In").unwrap();
    assert!(looked.look().is_none());
    fs::write(&sidecar, "title = \"Inverted\"").unwrap();
    assert!(looked.look().is_none());
    fs::write(&sidecar, "title = \"Inverted\"\n[params.image]\nname = \"photo\"").unwrap();
    assert!(looked.look().is_none());
    let entry = only(looked.look());
    assert_eq!(title(&entry), "Inverted");
    assert_eq!(&*entry.endpoint.unwrap().fields[0].name, "photo");
}

#[test]
fn a_file_that_is_replaced_is_not_gone_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("invert.json");
    fs::write(&path, INVERT).unwrap();
    let mut looked = open(folder.path());
    only(looked.look());
    fs::remove_file(&path).unwrap();
    assert!(looked.look().is_none());
    fs::write(&path, INVERT.replace("inverted", "negative")).unwrap();
    assert!(looked.look().is_none());
    assert!(only(looked.look()).endpoint.is_some());
    fs::remove_file(&path).unwrap();
    assert!(looked.look().is_none());
    assert!(looked.look().unwrap().is_empty());
}

#[test]
fn a_folder_that_goes_away_takes_nothing_down() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, away) = (parent.path().join("workflows"), parent.path().join("away"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("invert.json"), INVERT).unwrap();
    let mut looked = open(&folder);
    only(looked.look());
    fs::rename(&folder, &away).unwrap();
    assert!(looked.look().is_none() && looked.look().is_none());
    fs::rename(&away, &folder).unwrap();
    assert!(looked.look().is_none());
}

#[test]
fn more_than_may_be_looked_at_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("y.json"), INVERT).unwrap();
    fs::write(folder.path().join("y.toml"), "title = \"Mine\"").unwrap();
    let limits = Limits { files: 2, ..LIMITS };
    let mut looked = Folder::open(folder.path().to_owned(), limits, &[]).unwrap();
    assert_eq!(title(&only(looked.look())), "Mine");
    // The sidecar is beyond the limit now. Nobody can say what it says.
    fs::write(folder.path().join("x.json"), INVERT).unwrap();
    looked.look();
    looked.look();
    fs::write(folder.path().join("w.json"), INVERT).unwrap();
    let entries = std::iter::from_fn(|| looked.look()).last().unwrap();
    let mine = entries.iter().find(|entry| &*entry.path == "y").unwrap();
    assert_eq!(title(mine), "Mine");
    let told = entries.iter().find(|entry| &*entry.path == "y.json").unwrap();
    assert_eq!(told.file.as_ref().unwrap().diagnostics[0].code, "too-many-files");
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_and_pipes_are_told_and_not_read() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(elsewhere.path().join("secret.json"), INVERT).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("secret.json"), folder.path().join("link.json"))
        .unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("tree")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.json")).status().unwrap();
    assert!(made.success());
    let entries = open(folder.path()).look().unwrap();
    let told: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| (&*entry.path, entry.file.as_ref().unwrap().diagnostics[0].code))
        .collect();
    assert_eq!(told, [("link.json", "outside"), ("pipe.json", "no-file"), ("tree", "outside")]);
    assert!(entries.iter().all(|entry| entry.endpoint.is_none()));
}
