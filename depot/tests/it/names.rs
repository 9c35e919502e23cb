//! Names that want to lead elsewhere.

use std::path::{Component, Path};

use comfyport_depot::{ModelName, testing::FileHost};
use proptest::prelude::*;

use crate::{Home, wanted, ways};

#[test]
fn hostile_names_are_refused() {
    for (folder, file) in [
        ("loras", "../x"),
        ("loras", "a/../../x"),
        ("..", "x"),
        ("", "x"),
        ("loras", ""),
        ("loras", "/etc/passwd"),
        ("/etc", "passwd"),
        ("loras", "a//b"),
        ("loras", "./x"),
        ("loras", "x\0.safetensors"),
        ("loras", "x\n"),
        ("loras", "..\\x"),
        ("loras", "C:x"),
        ("loras", ".hidden"),
        ("loras", &"x".repeat(256)),
        (&"a/".repeat(600), "x"),
        ("a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "x"),
    ] {
        let said = ModelName::new(folder, file).unwrap_err().to_string();
        assert!(said.contains("is not the name of a model") && !said.contains('\0'), "{said}");
    }
    for (folder, file) in [("loras", "x.safetensors"), ("a/b", "c/d e (1).gguf"), ("vae", "名前..x")] {
        assert!(ModelName::new(folder, file).is_ok(), "{folder}/{file}");
    }
}

proptest! {
    #[test]
    fn whatever_is_accepted_stays_below(folder in "[./\\\\a:\0 é~-]{0,8}", file in "[./\\\\b:\0\n é~-]{0,12}") {
        if let Ok(name) = ModelName::new(&folder, &file) {
            let joined = Path::new("/models").join(name.folder()).join(name.file());
            let parts: Vec<_> = joined.components().collect();
            prop_assert!(parts.iter().skip(1).all(|part| matches!(part, Component::Normal(_))));
            prop_assert_eq!(parts.len(), 2 + folder.split('/').count() + file.split('/').count());
            prop_assert!(joined.starts_with("/models"));
            let (folder, file) = name.to_string().split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            prop_assert!(!folder.is_empty() && !file.is_empty());
        }
    }
}

#[tokio::test]
async fn folders_that_leave_the_models_folder_are_refused() {
    let content = comfyport_depot::testing::safetensors(1, 100);
    let host = FileHost::start().await;
    host.put("/x", content);
    let mut home = Home::new();
    let outside = home.folder.path().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::create_dir_all(home.folder.path().join("models/inside")).unwrap();
    let wanted = wanted(&host.host.at("/x"));
    std::os::unix::fs::symlink(&outside, home.model("loras")).unwrap();
    let error = home.pull_with(ways(), &wanted).await.unwrap_err();
    assert_eq!(error.code(), "leaves");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    home.settings.links_may_leave = true;
    home.pull_with(ways(), &wanted).await.unwrap();
    assert!(outside.join("x.safetensors").exists());
    home.settings.links_may_leave = false;
    std::fs::remove_file(home.model("loras")).unwrap();
    std::os::unix::fs::symlink("inside", home.model("loras")).unwrap();
    home.pull_with(ways(), &wanted).await.unwrap();
    assert!(home.model("inside/x.safetensors").exists());
}

#[tokio::test]
async fn pickles_are_refused_unless_they_are_allowed() {
    let host = FileHost::start().await;
    host.put("/x", &b"\x80\x02}q\x00."[..]);
    for file in ["loras/x.ckpt", "loras/x.PT", "vae/x.pth", "clip/x.bin", "embeddings/x.pkl"] {
        let mut home = Home::new();
        let mut wanted = wanted(&host.host.at("/x"));
        wanted.name = crate::name(file);
        let before = host.host.seen().len();
        let error = home.pull_with(ways(), &wanted).await.unwrap_err();
        assert_eq!((error.code(), host.host.seen().len()), ("pickle", before), "{file}");
        assert!(error.next_step().contains(".safetensors"));
        home.settings.pickles = true;
        home.pull_with(ways(), &wanted).await.unwrap();
        assert!(home.model(file).exists());
    }
    // Under the name of something harmless it is not that.
    let error = Home::new().pull_with(ways(), &wanted(&host.host.at("/x"))).await.unwrap_err();
    assert_eq!(error.code(), "bad_file");
}
