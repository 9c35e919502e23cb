//! From the cache into the models folder.

use std::os::unix::fs::MetadataExt as _;

use comfyport_depot::{
    LinkMode, Linked, Sha256,
    testing::{FileHost, safetensors},
};

use crate::{Home, pinned, read, ways};

async fn host(content: &[u8]) -> (FileHost, String) {
    let host = FileHost::start().await;
    host.put("/x", content.to_vec());
    let address = host.host.at("/x");
    (host, address)
}

#[tokio::test]
async fn files_are_linked_as_the_settings_say() {
    let content = safetensors(1, 10_000);
    let (_host, address) = host(&content).await;
    for (mode, linked) in [
        (LinkMode::Auto, &[Linked::Reflink, Linked::Hard][..]),
        (LinkMode::Copy, &[Linked::Copy]),
        (LinkMode::Symlink, &[Linked::Symbolic]),
    ] {
        let mut home = Home::new();
        home.settings.link = mode;
        let pulled = home.pull_with(ways(), &pinned(&address, &content)).await.unwrap();
        assert!(linked.contains(&pulled.linked), "{mode:?}: {:?}", pulled.linked);
        assert_eq!(read(&pulled.path), content);
        let links = std::fs::metadata(&pulled.path).unwrap().nlink();
        assert_eq!(links, if pulled.linked == Linked::Hard { 2 } else { 1 });
        assert_eq!(pulled.path.is_symlink(), mode == LinkMode::Symlink);
        assert_eq!(std::fs::metadata(&pulled.path).unwrap().mode() & 0o444, 0o444, "others can read it");
        assert_eq!(home.files("models"), ["loras/x.safetensors"]);
    }
}

#[tokio::test]
async fn another_file_is_left_alone_unless_it_may_be_overwritten() {
    let content = safetensors(2, 10_000);
    let (host, address) = host(&content).await;
    let wanted = pinned(&address, &content);
    for mode in [LinkMode::Auto, LinkMode::Copy, LinkMode::Symlink] {
        let mut home = Home::new();
        home.settings.link = mode;
        let path = home.model("loras/x.safetensors");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        for other in [b"mine".to_vec(), safetensors(3, 10_000)] {
            std::fs::write(&path, &other).unwrap();
            let before = host.host.seen().len();
            let error = home.pull_with(ways(), &wanted).await.unwrap_err();
            assert_eq!(
                (error.code(), host.host.seen().len()),
                ("conflict", before),
                "nothing is fetched in vain"
            );
            assert_eq!(read(&path), other);
        }
        home.settings.overwrite = true;
        home.pull_with(ways(), &wanted).await.unwrap();
        assert_eq!(read(&path), content);
        assert_eq!(home.files("models"), ["loras/x.safetensors"]);
    }
    // A link that leads nowhere is in the way too.
    let home = Home::new();
    let path = home.model("loras/x.safetensors");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
    let error = home.pull_with(ways(), &wanted).await.unwrap_err();
    assert_eq!(error.code(), "conflict");
}

#[tokio::test]
async fn content_that_was_written_to_by_way_of_a_link_is_fetched_anew() {
    let content = safetensors(4, 10_000);
    let (_host, address) = host(&content).await;
    let home = Home::new();
    let wanted = pinned(&address, &content);
    home.pull_with(ways(), &wanted).await.unwrap();
    let digest = Sha256::of(&content).to_string();
    let blob = home.folder.path().join("cache/sha256").join(&digest[..2]).join(&digest[2..]);
    let mut bytes = content.clone();
    bytes[5000] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    let mut other = wanted.clone();
    other.name = crate::name("loras/y.safetensors");
    let pulled = home.pull_with(ways(), &other).await.unwrap();
    assert_eq!(read(&pulled.path), content);
    assert_eq!(read(&blob), content);
}
