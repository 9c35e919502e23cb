//! Packs that ComfyUI cannot live with.

use std::fs;

use comfyport_packs::{
    Became, Engine, Installer, Process, Restart,
    testing::{Repository, git, nodes},
};

use crate::house::{House, PATIENCE, became, install, why};

const RAISES: &str = "raise RuntimeError('no such thing')\n";
const ENDS: &str = "import os\nprint('out of order', flush=True)\nos._exit(3)\n";

#[tokio::test]
async fn what_cannot_be_imported_is_taken_out() {
    let (house, good, bad) = (House::new(), Repository::new("good"), Repository::new("bad"));
    let fine = good.commit(&[("__init__.py", &nodes(&["Fine"]))]);
    let broken = bad.commit(&[("__init__.py", RAISES)]);
    let installer = house.proving();
    let done = install(&installer, &[good.at(&fine, &["Fine"]), bad.at(&broken, &["Bad"])]).await;
    assert_eq!(done[0].became, Became::Installed);
    assert!(done[0].proved, "{done:?}");
    assert!(matches!(done[1].became, Became::RolledBack(_)));
    assert_eq!(why(&done[1]), "ComfyUI could not import it: no such thing");
    assert!(house.pack("good").is_dir() && !house.pack("bad").exists());
    assert_eq!(house.room("trash").len(), 1, "it can be looked at");
    let engine = installer.engine.as_ref().unwrap();
    assert!(engine.is_up().await && engine.classes().await.unwrap().has("Fine"));
    assert!(engine.import_failures().await.is_empty(), "it was started anew without it");
    let record = fs::read_to_string(&house.room("records")[0]).unwrap();
    assert!(record.contains("no such thing") && record.contains(&broken), "{record}");
}

#[tokio::test]
async fn whoever_keeps_comfyui_from_starting_is_found() {
    let house = House::new();
    let installer = house.proving();
    let [one, two, three] = ["one", "two", "three"].map(Repository::new);
    let [first, last] = [(&one, "One"), (&three, "Three")].map(|(repository, class)| {
        repository.at(&repository.commit(&[("__init__.py", &nodes(&[class]))]), &[class])
    });
    let middle = two.at(&two.commit(&[("__init__.py", ENDS)]), &[]);
    let done = install(&installer, &[first.clone(), middle.clone(), last]).await;
    assert_eq!((&done[0].became, &done[2].became), (&Became::Installed, &Became::Installed));
    assert!(done[0].proved && done[2].proved, "{done:?}");
    assert!(why(&done[1]).contains("exit status: 3") && why(&done[1]).contains("out of order"), "{done:?}");
    assert!(!house.pack("two").exists() && house.pack("three").is_dir());
    assert!(installer.engine.as_ref().unwrap().is_up().await);
    // Alone, it is known at once.
    let done = install(&installer, &[first, middle]).await;
    assert_eq!(done[0].became, Became::Kept);
    assert!(why(&done[1]).contains("out of order"), "{done:?}");
    assert!(installer.engine.as_ref().unwrap().is_up().await);
}

#[tokio::test]
async fn an_update_that_breaks_is_taken_back() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let good = repository.commit(&[("__init__.py", &nodes(&["Node"]))]);
    let installer = house.proving();
    install(&installer, &[repository.at(&good, &["Node"])]).await;
    for text in [RAISES, ENDS, "", "def broken(:"] {
        let bad = repository.commit(&[("__init__.py", text)]);
        let done = install(&installer, &[repository.at(&bad, &[])]).await;
        assert!(matches!(done[0].became, Became::RolledBack(_)), "{text}: {done:?}");
        assert_eq!(git(&house.pack("pack"), &["rev-parse", "HEAD"]), good);
        assert!(installer.engine.as_ref().unwrap().classes().await.unwrap().has("Node"));
    }
}

#[tokio::test]
async fn what_lacks_a_class_is_told_and_stays() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let commit = repository.commit(&[("__init__.py", &nodes(&["One"]))]);
    let done = install(&house.proving(), &[repository.at(&commit, &["One", "Two"])]).await;
    assert_eq!(became(&done), [&Became::Incomplete(vec!["Two".to_owned()])]);
    assert!(!done[0].is_good() && house.pack("pack").is_dir());
}

#[tokio::test]
async fn what_was_broken_before_is_not_blamed_on_a_pack() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    fs::create_dir(house.pack("dead")).unwrap();
    fs::write(house.pack("dead/__init__.py"), ENDS).unwrap();
    let commit = repository.commit(&[("__init__.py", &nodes(&["One"]))]);
    let done = install(&house.proving(), &[repository.at(&commit, &["One"])]).await;
    assert!(why(&done[0]).starts_with("ComfyUI starts neither with it nor without it"), "{done:?}");
    assert!(!house.pack("pack").exists());
}

#[tokio::test]
async fn a_command_of_the_operator_restarts_it() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let commit = repository.commit(&[("__init__.py", &nodes(&["One"]))]);
    let main = house.folder.path().join("main.py");
    let pid = house.folder.path().join("pid");
    let start = format!(
        "[ -f {pid} ] && kill -9 $(cat {pid}); python3 {main} --port {port} & echo $! > {pid}",
        main = main.display(),
        pid = pid.display(),
        port = house.port
    );
    let restart = Restart::Command(["sh", "-c", &start].map(str::to_owned).to_vec());
    let engine = Engine::new(house.client(), Some(restart), PATIENCE);
    let installer = Installer { engine: Some(engine), ..house.installer() };
    let done = install(&installer, &[repository.at(&commit, &["One"])]).await;
    let running = fs::read_to_string(&pid).unwrap();
    let ended = std::process::Command::new("kill").args(["-9", running.trim()]).status().unwrap();
    assert!(ended.success(), "what the command left running goes on");
    assert_eq!(became(&done), [&Became::Installed]);
    assert!(done[0].proved, "{done:?}");

    let command = ["sh", "-c", "exit 7"].map(str::to_owned).to_vec();
    let engine = Engine::new(house.client(), Some(Restart::Command(command)), PATIENCE);
    assert!(engine.restart().await.unwrap_err().to_string().contains("exit status: 7"));
    let folder = house.folder.path().to_owned();
    let nobody = Process { command: vec!["/nowhere/python".to_owned()], log: folder.join("log"), folder };
    let engine = Engine::new(house.client(), Some(Restart::Process(nobody)), PATIENCE);
    assert!(engine.restart().await.unwrap_err().to_string().contains("cannot be started"));
}
