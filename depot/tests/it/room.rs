//! Room: on the disk, and in the cache.

use std::{path::Path, process::Command};

use comfyport_depot::{
    Depot, LinkMode, PullError, Wanted,
    testing::{Fault, FileHost, safetensors},
};

use crate::{Home, name, pinned, wanted, ways};

async fn host(contents: &[Vec<u8>]) -> (FileHost, Vec<Wanted>) {
    let host = FileHost::start().await;
    let mut all = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        host.put(&format!("/{number}"), content.clone());
        let wanted = pinned(&host.host.at(&format!("/{number}")), content);
        all.push(Wanted { name: name(&format!("loras/{number}.safetensors")), ..wanted });
    }
    (host, all)
}

fn blobs(home: &Home) -> usize {
    home.files("cache/sha256").iter().filter(|file| !file.ends_with(".json")).count()
}

#[tokio::test]
async fn what_was_not_used_for_long_goes_and_what_is_in_use_stays() {
    let contents: Vec<Vec<u8>> = (0..3).map(|seed| safetensors(seed, 100_000)).collect();
    let (_host, all) = host(&contents).await;
    for mode in [LinkMode::Copy, LinkMode::Symlink, LinkMode::Auto] {
        let mut home = Home::new();
        home.settings.link = mode;
        home.settings.cache_limit = Some(250_000);
        home.pull_with(ways(), &all[0]).await.unwrap();
        home.pull_with(ways(), &all[1]).await.unwrap();
        assert_eq!(blobs(&home), 2);
        let third = home.pull_with(ways(), &all[2]).await;
        if mode == LinkMode::Copy {
            // Copies do not need what they were made of.
            third.unwrap();
            assert_eq!(blobs(&home), 2);
            assert_eq!(home.files("models").len(), 3);
            continue;
        }
        let depot = Depot::new(home.settings.clone(), ways()).unwrap();
        if !depot.contents().unwrap().iter().all(|kept| kept.in_use) {
            continue; // A file system that shares blocks.
        }
        let error = third.unwrap_err();
        assert!(matches!(error, PullError::CacheFull { limit: 250_000, .. }), "{error}");
        assert_eq!(blobs(&home), 2, "nothing is let go of in vain");
        // Once it is used no longer, it goes.
        std::fs::remove_file(home.model("loras/0.safetensors")).unwrap();
        home.pull_with(ways(), &all[2]).await.unwrap();
        assert_eq!(blobs(&home), 2);
        assert!(home.model("loras/1.safetensors").exists());
    }
}

#[tokio::test]
async fn a_disk_that_is_too_small_is_told_before_anything_is_fetched() {
    let content = safetensors(1, 1000);
    let (host, all) = host(&[content]).await;
    let mut home = Home::new();
    home.settings.reserve = u64::MAX / 2;
    let error = home.pull_with(ways(), &all[0]).await.unwrap_err();
    assert!(matches!(error, PullError::NoSpace { .. }), "{error}");
    assert!(error.next_step().starts_with("free "), "{}", error.next_step());
    home.assert_nothing_visible();
    assert!(home.files("cache/parts").iter().all(|file| !file.ends_with(".part")));
    drop(host);
}

/// A file system of 8 MiB. Only root can make one.
struct Small(tempfile::TempDir);

impl Small {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let made =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder.path()).output();
        if made.is_ok_and(|made| made.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("skipped: a small file system can be made by root only");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_half_visible() {
    let Some(small) = Small::new() else { return };
    let content = safetensors(2, 6 << 20);
    let host = FileHost::start().await;
    host.put("/x", content.clone());
    let mut home = Home::new();
    home.settings.cache = small.path().join("cache");
    // While it arrives: nobody said how large it is.
    std::fs::write(small.path().join("ballast"), vec![0; 4 << 20]).unwrap();
    host.fault(Fault::NoLength);
    let wanted = wanted(&host.host.at("/x"));
    let error = home.pull_with(ways(), &wanted).await.unwrap_err();
    assert_eq!(error.code(), "disk_full", "{error}");
    home.assert_nothing_visible();
    let left: Vec<_> = std::fs::read_dir(small.path().join("cache/parts")).unwrap().flatten().collect();
    assert!(left.iter().all(|file| file.metadata().unwrap().len() == 0), "{left:?}");
    // Before it arrives.
    let error = home.pull_with(ways(), &wanted).await.unwrap_err();
    assert_eq!(error.code(), "no_space", "{error}");
    // With room again, it works; the models folder is elsewhere, so it is copied.
    std::fs::remove_file(small.path().join("ballast")).unwrap();
    home.pull_with(ways(), &wanted).await.unwrap();
    // And the other way round: room in the cache, and none where the models are.
    let mut home = Home::new();
    std::fs::remove_dir_all(small.path().join("cache")).unwrap();
    std::fs::write(small.path().join("ballast"), vec![0; 4 << 20]).unwrap();
    home.settings.models = small.path().join("models");
    let error = home.pull_with(ways(), &wanted).await.unwrap_err();
    assert_eq!(error.code(), "no_space", "{error}");
    let left: Vec<_> = std::fs::read_dir(small.path().join("models/loras")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
