//! ComfyUI-Managers of each generation, which say that all went well.

use std::time::Duration;

use axum::Router;
use comfyport_comfyui::{Client, ClientConfig};
use comfyport_needs::LockedPack;
use comfyport_packs::{
    Became, Engine, Generation, ManagerError, Outcome, RemoteInstaller, Restart,
    testing::{FakeManager, Server, SharedManager},
};

use crate::house::why;

const LIMIT: Duration = Duration::from_secs(30);
const COMMIT: &str = "1111111111111111111111111111111111111111";

/// A ComfyUI with such a Manager, and what installs by it.
async fn serve(double: FakeManager) -> (Server, SharedManager, RemoteInstaller) {
    let (server, shared) = double.serve().await;
    let url = server.url().parse().unwrap();
    let engine = Engine::new(Client::new(ClientConfig::new(url)).unwrap(), Some(Restart::Manager), LIMIT);
    let installer = RemoteInstaller::new(engine, LIMIT).await.unwrap();
    (server, shared, installer)
}

fn version(id: &str, version: &str) -> LockedPack {
    LockedPack {
        id: id.to_owned(),
        version: Some(version.to_owned()),
        classes: vec![format!("{id} node")],
        ..LockedPack::default()
    }
}

fn commit(id: &str) -> LockedPack {
    LockedPack {
        version: None,
        commit: Some(COMMIT.to_owned()),
        repository: Some(format!("https://github.com/o/{id}")),
        ..version(id, "")
    }
}

async fn install(installer: &RemoteInstaller, locked: &[LockedPack]) -> Vec<Outcome> {
    let plan = installer.plan_install(locked).await.unwrap();
    installer.carry_out(&plan).await.unwrap()
}

fn all() -> [FakeManager; 4] {
    let legacy = FakeManager { legacy_ui: true, ..FakeManager::new("V4.2.2") };
    [FakeManager::new("V3.39.2"), FakeManager::new("V3.41"), FakeManager::new("V4.2.2"), legacy]
}

#[tokio::test]
async fn each_generation_is_told_and_spoken_to() {
    let generations = [Generation::Gets, Generation::Posts, Generation::Tasks, Generation::Legacy];
    for (double, generation) in all().into_iter().zip(generations) {
        let told = double.version;
        let (_server, shared, installer) = serve(double).await;
        assert_eq!(installer.manager().generation(), generation);
        assert_eq!(installer.manager().version(), told);
        let done = install(&installer, &[version("good", "1.0.0")]).await;
        assert_eq!(
            done[0].became,
            Became::Installed,
            "{generation:?}: {done:?}\n{:?}",
            shared.lock().unwrap().asked
        );
        assert!(done[0].proved);
        let done = install(&installer, &[version("good", "1.0.0")]).await;
        assert_eq!(done[0].became, Became::Kept);
        let done = install(&installer, &[version("good", "1.2.0")]).await;
        assert_eq!(done[0].became, Became::Updated, "{generation:?}: {done:?}");
        let reboots =
            shared.lock().unwrap().asked.iter().filter(|asked| asked.ends_with("/manager/reboot")).count();
        assert_eq!(reboots, 2, "what is kept needs none");
    }
}

#[tokio::test]
async fn nothing_is_believed() {
    for double in all() {
        let double = FakeManager { lies: vec!["lie"], errs: vec!["err"], broken: vec!["broken"], ..double };
        let (_server, _shared, installer) = serve(double).await;
        let packs = ["lie", "err", "broken", "good"].map(|id| version(id, "1.0.0"));
        let done = install(&installer, &packs).await;
        assert!(why(&done[0]).contains("said that it was done, and it is not there"), "{done:?}");
        assert!(why(&done[1]).contains("it is at 0.0.1"), "{done:?}");
        assert!(why(&done[2]).contains("could not import it: broken has no torch"), "{done:?}");
        assert_eq!(done[3].became, Became::Installed);
    }
}

#[tokio::test]
async fn commits_go_where_they_can() {
    for double in all() {
        let (_server, shared, installer) = serve(double).await;
        let done = install(&installer, &[commit("pack"), commit("registered")]).await;
        if installer.manager().generation() == Generation::Tasks {
            assert!(why(&done[0]).contains("cannot install a commit"), "{done:?}");
            assert!(
                !shared.lock().unwrap().asked.iter().any(|asked| asked.contains("reboot")),
                "for nothing"
            );
            continue;
        }
        assert_eq!(done[0].became, Became::Installed, "{done:?}");
        assert!(done[0].proved);
        assert!(why(&done[1]).contains("it is there as version 9.9.9"), "{done:?}");
    }
}

#[tokio::test]
async fn what_is_forbidden_names_the_setting() {
    for (double, setting) in
        all().into_iter().zip(["security_level", "security_level", "network_mode", "network_mode"])
    {
        let gets = double.gets();
        let (_server, _shared, installer) = serve(FakeManager { strict: true, ..double }).await;
        let done = install(&installer, &[version("good", "1.0.0")]).await;
        assert!(why(&done[0]).contains(setting), "{done:?}");
        let generation = installer.manager().generation();
        if generation != Generation::Tasks {
            let done = install(&installer, &[commit("pack")]).await;
            let setting = if gets { "security_level = normal-" } else { "allow_git_url_install = true" };
            assert!(why(&done[0]).contains(setting), "{done:?}");
        }
    }
}

#[tokio::test]
async fn packs_are_removed() {
    for double in all().into_iter().take(3) {
        let (_server, shared, installer) = serve(double).await;
        install(&installer, &[version("one", "1.0.0"), version("two", "1.0.0")]).await;
        shared.lock().unwrap().lies = vec!["two"];
        let plan = installer.plan_remove(&["one".to_owned(), "two".to_owned()]).await.unwrap();
        let done = installer.carry_out(&plan).await.unwrap();
        assert_eq!(done[0].became, Became::Removed, "{done:?}");
        assert!(why(&done[1]).contains("it is still there"), "{done:?}");
    }
}

#[tokio::test]
async fn a_comfyui_without_a_manager_is_told() {
    let server = Server::new(Router::new()).await;
    let url = server.url().parse().unwrap();
    let engine = Engine::new(Client::new(ClientConfig::new(url)).unwrap(), None, LIMIT);
    assert!(matches!(RemoteInstaller::new(engine, LIMIT).await, Err(ManagerError::None)));
}
