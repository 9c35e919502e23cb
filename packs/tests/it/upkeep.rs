//! Updating and removing.

use std::fs;

use comfyport_packs::{
    Became, WorkError,
    testing::{Repository, git, nodes},
};

use crate::house::{House, became, carry_out, install, why};

#[tokio::test]
async fn packs_are_brought_to_their_newest() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let old = repository.commit(&[("__init__.py", &nodes(&["Old"]))]);
    let installer = house.proving();
    install(&installer, &[repository.at(&old, &["Old"])]).await;
    fs::create_dir(house.pack("unknown")).unwrap();
    fs::write(house.pack("unknown/__init__.py"), "").unwrap();
    let new = repository.commit(&[("__init__.py", &nodes(&["New"]))]);

    let (pins, plan) = installer.plan_update(&[]).await.unwrap();
    assert_eq!((pins.len(), pins[0].commit.as_deref()), (1, Some(new.as_str())));
    let done = carry_out(&installer, &plan).await;
    assert_eq!(became(&done), [&Became::Updated]);
    assert_eq!(git(&house.pack("pack"), &["rev-parse", "HEAD"]), new);
    let (_, plan) = installer.plan_update(&["PACK".to_owned()]).await.unwrap();
    assert!(plan.is_idle(), "{plan}");
    let (_, plan) = installer.plan_update(&["unknown".to_owned(), "nobody".to_owned()]).await.unwrap();
    assert_eq!(plan.conflicts().count(), 2, "{plan}");
}

#[tokio::test]
async fn what_is_removed_can_be_found_again() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let commit = repository.commit(&[("__init__.py", &nodes(&["Node"]))]);
    let installer = house.proving();
    install(&installer, &[repository.at(&commit, &["Node"])]).await;
    fs::write(house.pack("pack/mine.json"), "{}").unwrap();
    let plan = installer.plan_remove(&["pack".to_owned(), "nobody".to_owned()]).unwrap();
    let done = carry_out(&installer, &plan).await;
    assert_eq!(done[0].became, Became::Removed);
    assert!(done[0].proved, "{done:?}");
    assert_eq!(why(&done[1]), "there is no such pack");
    assert!(!house.pack("pack").exists());
    let [trash] = house.room("trash").try_into().unwrap();
    assert!(trash.join("mine.json").is_file());
    assert!(done[0].notes[0].contains(&trash.display().to_string()), "{done:?}");
    assert!(!installer.engine.as_ref().unwrap().classes().await.unwrap().has("Node"));
}

#[tokio::test]
async fn what_others_need_comes_back() {
    let house = House::new();
    for (name, text) in [("a_base", nodes(&["Base"])), ("b_user", nodes(&["User"]))] {
        fs::create_dir(house.pack(name)).unwrap();
        fs::write(house.pack(name).join("__init__.py"), text).unwrap();
    }
    let needs = format!(
        "import os\nif not os.path.isdir({:?}):\n    os._exit(5)\n{}",
        house.pack("a_base").canonicalize().unwrap(),
        nodes(&["User"])
    );
    fs::write(house.pack("b_user/__init__.py"), needs).unwrap();
    let installer = house.proving();
    let plan = installer.plan_remove(&["a_base".to_owned()]).unwrap();
    let done = carry_out(&installer, &plan).await;
    assert!(why(&done[0]).contains("exit status: 5"), "{done:?}");
    assert!(house.pack("a_base/__init__.py").is_file());
    assert!(installer.engine.as_ref().unwrap().classes().await.unwrap().has("Base"));
}

#[tokio::test]
async fn two_do_not_work_at_once() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let commit = repository.commit(&[("__init__.py", "")]);
    let installer = house.installer();
    let plan = installer.plan_install(&[repository.at(&commit, &[])]).await.unwrap();
    let room = house.folder.path().join(".comfyport");
    fs::create_dir_all(room.join("staging/left/by/somebody")).unwrap();
    let lock = fs::File::create(room.join("lock")).unwrap();
    lock.try_lock().unwrap();
    assert!(matches!(installer.carry_out(&plan).await, Err(WorkError::Busy(_))));
    assert!(room.join("staging/left").is_dir());
    drop(lock);
    assert_eq!(became(&carry_out(&installer, &plan).await), [&Became::Installed]);
    assert!(house.room("staging").is_empty(), "what was left is gone");
}
