//! Versions of the registry, from a server of the test's own.

use std::{fs, sync::Arc, time::Duration};

use comfyport_comfyui::tls;
use comfyport_fetch::{Client, Fetcher, Guard, Limits, Policy, SystemLookup};
use comfyport_needs::LockedPack;
use comfyport_packs::{
    ArchiveLimits, Became, Installer, Origin, Registry, Settings,
    testing::{FakeRegistry, nodes},
};

use crate::house::{House, became, carry_out, install, why};

fn project(version: &str) -> String {
    format!("[project]\nname = \"pack\"\nversion = \"{version}\"\n")
}

fn locked(version: &str, classes: &[&str]) -> LockedPack {
    LockedPack {
        id: "pack".to_owned(),
        repository: Some("https://example.com/somebody/other-name".to_owned()),
        version: Some(version.to_owned()),
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        ..LockedPack::default()
    }
}

fn registry(shelf: &FakeRegistry, largest: u64) -> Registry {
    let allow = vec!["127.0.0.1".parse().unwrap()];
    let guard = Guard::new(Policy { allow, ..Policy::default() });
    let lookup = Arc::new(SystemLookup::default());
    let client = Client::new(guard, lookup, tls(), Duration::from_secs(5)).unwrap();
    let fetcher = Fetcher::new(client, Vec::new(), Limits::default());
    Registry::new(shelf.server.url().parse().unwrap(), fetcher, largest)
}

#[tokio::test]
async fn a_version_is_installed_and_updated() {
    let (house, shelf) = (House::new(), FakeRegistry::start().await);
    let (one, two) = (nodes(&["One"]), nodes(&["Two"]));
    shelf.put_version(
        "pack",
        "1.0.0",
        "Active",
        &[("pyproject.toml", &project("1.0.0")), ("__init__.py", &one), ("js/", ""), ("js/old.js", "x")],
    );
    shelf.put_version(
        "pack",
        "1.1.0",
        "Pending",
        &[("pyproject.toml", &project("1.1.0")), ("__init__.py", &two)],
    );
    let installer = Installer { registry: Some(registry(&shelf, 1 << 20)), ..house.proving() };
    let done = install(&installer, &[locked("1.0.0", &["One"])]).await;
    assert_eq!(became(&done), [&Became::Installed]);
    assert!(done[0].proved, "{done:?}");
    let tracking = fs::read_to_string(house.pack("pack/.tracking")).unwrap();
    assert_eq!(tracking, "pyproject.toml\n__init__.py\njs/\njs/old.js");
    let origin = installer.place.installed().unwrap().remove(0).origin;
    assert_eq!(origin, Origin::Registry { id: "pack".into(), version: "1.0.0".into() });
    assert!(!shelf.was_asked("install"), "nothing was counted");

    fs::write(house.pack("pack/mine.json"), "{}").unwrap();
    shelf.put("/nodes/pack", r#"{"id":"pack","latest_version":{"version":"1.1.0"}}"#);
    let (pins, plan) = installer.plan_update(&[]).await.unwrap();
    assert_eq!(pins[0].version.as_deref(), Some("1.1.0"));
    let done = carry_out(&installer, &plan).await;
    assert_eq!(became(&done), [&Became::Updated]);
    assert!(done[0].proved && installer.engine.as_ref().unwrap().classes().await.unwrap().has("Two"));
    assert!(house.pack("pack/mine.json").is_file(), "what people put there stays");
    assert!(!house.pack("pack/js/old.js").exists(), "what the former version brought goes");
    let [trash] = house.room("trash").try_into().unwrap();
    assert!(trash.join("js/old.js").is_file());

    // A version that breaks leaves the former one.
    shelf.put_version(
        "pack",
        "2.0.0",
        "Active",
        &[("pyproject.toml", &project("2.0.0")), ("__init__.py", "raise")],
    );
    let done = install(&installer, &[locked("2.0.0", &["Two"])]).await;
    assert!(why(&done[0]).contains("could not import"), "{done:?}");
    assert_eq!(fs::read_to_string(house.pack("pack/pyproject.toml")).unwrap(), project("1.1.0"));
    assert!(house.pack("pack/mine.json").is_file());
}

#[tokio::test]
async fn what_was_withdrawn_or_lies_is_not_installed() {
    let (house, shelf) = (House::new(), FakeRegistry::start().await);
    let good = [("pyproject.toml", project("1.0.0"))];
    let good: Vec<(&str, &str)> = good.iter().map(|(name, text)| (*name, text.as_str())).collect();
    for status in ["Banned", "Flagged", "Deleted"] {
        shelf.put_version("pack", status, status, &good);
    }
    shelf.put_version("pack", "3.0.0", "Active", &good);
    shelf.put_version("pack", "4.0.0", "Active", &[("x.py", "")]);
    shelf.put_version(
        "pack",
        "5.0.0",
        "Active",
        &[("pyproject.toml", &project("5.0.0")), ("../evil.py", "x")],
    );
    shelf.put_version("pack", "6.0.0", "Active", &[("pyproject.toml", &project("6.0.0"))]);
    shelf.put("/cdn/pack/6.0.0/node.zip", vec![0; 10_000]);
    shelf.put_version("pack", "7.0.0", "Active", &good);
    shelf.put("/cdn/pack/7.0.0/node.zip", b"PK\x03\x04 no archive".as_slice());
    shelf
        .put("/nodes/pack/versions/8.0.0", r#"{"version":"8.0.0","downloadUrl":"http://169.254.169.254/x"}"#);
    shelf.put("/nodes/pack/versions/8.1.0", r#"{"version":"8.1.0","downloadUrl":"file:///etc/passwd"}"#);
    shelf.put("/nodes/pack/versions/8.2.0", "no JSON");
    shelf.put_version("pack", "8.3.0", "Active", &good);
    shelf.put("/nodes/pack/versions/8.3.0", r#"{"version":"8.4.0","downloadUrl":"x"}"#);
    shelf.put_version(
        "pack",
        "9.0.0",
        "Active",
        &[("pyproject.toml", &project("9.0.0")), ("zeros", &"0".repeat(200_000))],
    );
    let archive = ArchiveLimits { unpacked: 100_000, ..ArchiveLimits::default() };
    let settings = Settings { archive, ..Settings::default() };
    let installer = Installer { registry: Some(registry(&shelf, 5000)), settings, ..house.installer() };
    for (version, expected) in [
        ("Banned", "is banned"),
        ("Flagged", "is flagged"),
        ("Deleted", "is deleted"),
        ("2.0.0", "has no pack 2.0.0"),
        ("3.0.0", "says that it is pack 1.0.0"),
        ("4.0.0", "no `pyproject.toml`"),
        ("5.0.0", "no path for a file"),
        ("6.0.0", "larger than 5000 bytes"),
        ("7.0.0", "cannot be read"),
        ("8.0.0", "not lead to a public address"),
        ("8.1.0", "only http and https"),
        ("8.2.0", "not understood"),
        ("8.3.0", "not understood"),
        ("9.0.0", "more than 100000 bytes"),
    ] {
        let done = install(&installer, &[locked(version, &[])]).await;
        assert!(why(&done[0]).contains(expected), "{version}: {done:?}");
        assert_eq!(fs::read_dir(house.pack("")).unwrap().count(), 0, "{version}");
        assert!(house.room("staging").is_empty(), "{version}");
    }
    assert!(!house.folder.path().join(".comfyport/staging/evil.py").exists());
    assert!(!shelf.was_asked("/cdn/pack/Banned"));
    let done = install(&installer, &[LockedPack { id: "a b".to_owned(), ..locked("1.0.0", &[]) }]).await;
    assert!(matches!(done[0].became, Became::Conflict(_)), "{done:?}");
}

#[tokio::test]
async fn what_can_only_be_had_as_an_installation_is_counted_and_told() {
    let (house, shelf) = (House::new(), FakeRegistry::start().await);
    shelf.put_version(
        "pack",
        "1.0.0",
        "Active",
        &[("pyproject.toml", &project("1.0.0")), ("__init__.py", "")],
    );
    let full = shelf.answer("/nodes/pack/versions/1.0.0");
    shelf.put("/nodes/pack/install?version=1.0.0", full);
    shelf.put("/nodes/pack/versions/1.0.0", r#"{"version":"1.0.0","status":"NodeVersionStatusActive"}"#);
    let installer = Installer { registry: Some(registry(&shelf, 1 << 20)), ..house.installer() };
    let done = install(&installer, &[locked("1.0.0", &[])]).await;
    assert_eq!(became(&done), [&Became::Installed]);
    assert!(done[0].notes.iter().any(|note| note.contains("counted")), "{done:?}");
}
