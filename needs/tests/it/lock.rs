//! The lock: what is pinned stays, what changes is said.

use comfyport_needs::{BadLock, Difference, ModelList, ProjectLock};
use proptest::prelude::*;

use crate::{graph, needs, understood};

const HASH: &str = "aa00000000000000000000000000000000000000000000000000000000000000";

#[test]
fn a_lock_follows_its_workflows() {
    let mut first = needs(&[understood("one", &graph("b.safetensors", "OpenposePreprocessor"), "")]);
    let empty = ProjectLock::default();
    assert!(empty.compare(&first).iter().all(|difference| !difference.is_loose()));
    let loose = empty.updated(&first);
    assert!(loose.compare(&first).iter().all(Difference::is_loose), "{:?}", loose.compare(&first));
    assert!(!loose.compare(&first).is_empty());

    let list = format!(
        "[[model]]\nfile = \"b.safetensors\"\nurls = [\"https://a.example/b\"]\nsha256 = \"{HASH}\"\nsize = 7\n\
         [[model]]\nfile = \"easynegative\"\nurls = [\"https://a.example/e\"]\nsha256 = \"{HASH}\""
    );
    first.learn_list(&ModelList::parse(&list).unwrap());
    let mut exact = loose.updated(&first);
    exact.packs[0].commit = Some("0123456789abcdef0123456789abcdef01234567".to_owned());
    exact.comfyui = Some("0.3.64".to_owned());
    assert_eq!(exact.compare(&first), []);
    insta::assert_snapshot!(exact.write());
    let read = ProjectLock::parse(&exact.write()).unwrap();
    assert_eq!(read.write(), exact.write());
    assert_eq!(read.compare(&first), []);

    // Again, without the list: what was exact stays exact.
    let bare = needs(&[understood("one", &graph("b.safetensors", "OpenposePreprocessor"), "")]);
    assert_eq!(exact.updated(&bare).compare(&bare), []);

    // Another checkpoint, and no preprocessor any more.
    let second = needs(&[understood("one", &graph("c.safetensors", "ImageInvert"), "")]);
    let found = exact.compare(&second);
    for expected in [
        Difference::Model("checkpoints/c.safetensors".to_owned()),
        Difference::SpareModel("checkpoints/b.safetensors".to_owned()),
        Difference::SparePack(exact.packs[0].id.clone()),
    ] {
        assert!(found.contains(&expected), "{found:?}");
    }

    // Another content of the same file: what was known of the old one is forgotten.
    let sidecar = format!("[models.\"b.safetensors\"]\nsha256 = \"{}\"", HASH.replace('a', "b"));
    let other = needs(&[understood("one", &graph("b.safetensors", "ImageInvert"), &sidecar)]);
    assert!(exact.compare(&other).iter().any(|one| matches!(one, Difference::Content { .. })));
    let updated = exact.updated(&other);
    assert_eq!((updated.models[0].size, updated.models[0].urls.len()), (None, 0));
}

#[test]
fn a_guess_is_not_pinned() {
    let needs = needs(&[understood("one", &graph("b.safetensors", "ImageResize+"), "")]);
    assert!(ProjectLock::default().updated(&needs).packs.is_empty());
}

#[test]
fn locks_of_strangers_are_refused_with_a_reason() {
    let parse = |text: &str| ProjectLock::parse(text).unwrap_err();
    assert_eq!(parse("version = 2"), BadLock::Newer(2));
    for (text, reason) in [
        ("[[model]]\nfolder = \"vae\"\nfile = \"../../x\"\nworkflows = []", "no path below"),
        ("[[model]]\nfolder = \"/etc\"\nfile = \"x\"\nworkflows = []", "no path below"),
        ("[[model]]\nfolder = \"vae\"\nfile = \"x\"\nsha256 = \"1\"\nworkflows = []", "64 hexadecimal"),
        ("[[pack]]\nid = \"..\"\nclasses = []\nworkflows = []", "no name of a folder"),
        ("[[pack]]\nid = \"a\"\ncommit = \"--upload-pack=x\"\nclasses = []\nworkflows = []", "no commit"),
        (
            "[[pack]]\nid = \"a\"\ncommit = \"0123456\"\nversion = \"1\"\nclasses = []\nworkflows = []",
            "one of them decides",
        ),
        ("[[packs]]\nid = \"a\"", "packs"),
    ] {
        let error = parse(&format!("version = 1\n{text}")).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_read_as_a_lock_leaves_its_folder(text in ".{0,40}", folder in "[a-z./\\\\:]{0,12}") {
        let lock = format!("version = 1\n[[model]]\nfolder = {folder:?}\nfile = {text:?}\nworkflows = []");
        if let Ok(lock) = ProjectLock::parse(&lock) {
            let path = std::path::Path::new("/models").join(&lock.models[0].folder).join(&lock.models[0].file);
            prop_assert!(path.starts_with("/models"));
            prop_assert!(!path.components().any(|part| part == std::path::Component::ParentDir));
        }
    }

    #[test]
    fn any_text_is_a_lock_or_refused(text in ".{0,200}") {
        let _ = ProjectLock::parse(&text);
    }
}
