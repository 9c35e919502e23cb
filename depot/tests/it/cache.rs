//! What is kept, and for whom.

use comfyport_depot::{
    How,
    testing::{FileHost, safetensors},
};

use crate::{Home, name, pinned, ways};

#[tokio::test]
async fn the_same_content_under_two_names_is_fetched_once() {
    let content = safetensors(1, 200_000);
    let host = FileHost::start().await;
    host.put("/x", content.clone());
    let home = Home::new();
    let one = pinned(&host.host.at("/x"), &content);
    let mut two = one.clone();
    two.name = name("loras/two.safetensors");
    let outcomes = home.pull_all(ways(), &[one, two]).await;
    let hows: Vec<How> = outcomes.iter().map(|outcome| outcome.as_ref().unwrap().how).collect();
    assert!(hows.contains(&How::Cached), "{hows:?}");
    assert_eq!(host.host.seen().len(), 1);
    assert_eq!(home.files("models").len(), 2);
}

#[tokio::test]
async fn a_record_that_was_lost_is_made_again() {
    let content = safetensors(2, 1000);
    let host = FileHost::start().await;
    host.put("/x", content.clone());
    let home = Home::new();
    let wanted = pinned(&host.host.at("/x"), &content);
    home.pull_with(ways(), &wanted).await.unwrap();
    for file in home.files("cache/sha256").iter().filter(|file| file.ends_with(".json")) {
        std::fs::write(home.folder.path().join("cache/sha256").join(file), "{").unwrap();
    }
    let mut two = wanted.clone();
    two.name = name("loras/two.safetensors");
    assert_eq!(home.pull_with(ways(), &two).await.unwrap().how, How::Cached);
}
