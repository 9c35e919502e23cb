//! Packs at a commit.

use std::fs;

use comfyport_packs::{
    Became, Git, Installer, Origin,
    testing::{Repository, git, git_server, locked, nodes},
};

use crate::house::{House, became, install, why};

#[tokio::test]
async fn a_pack_is_there_at_its_commit() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let old = repository.commit(&[("__init__.py", &nodes(&["Old"]))]);
    let new = repository.commit(&[("__init__.py", &nodes(&["New"]))]);
    let installer = house.proving();
    let plan = installer.plan_install(&[repository.at(&old, &["Old"])]).await.unwrap();
    assert_eq!(
        plan.to_string(),
        format!("install   pack into pack: commit {} of {}\n", &old[..12], repository.url())
    );
    assert!(!house.pack("pack").exists(), "a plan changes nothing");

    let done = install(&installer, &[repository.at(&old, &["Old"])]).await;
    assert_eq!(became(&done), [&Became::Installed]);
    assert!(done[0].proved, "{done:?}");
    assert_eq!(git(&house.pack("pack"), &["rev-parse", "HEAD"]), old);
    let installed = installer.place.installed().unwrap();
    let expected = Origin::Git { commit: Some(old.clone()), remote: Some(repository.url()) };
    assert_eq!((installed[0].name.as_str(), &installed[0].origin), ("pack", &expected));

    let done = install(&installer, &[repository.at(&old, &["Old"])]).await;
    assert_eq!(became(&done), [&Became::Kept]);
    assert!(done[0].proved, "{done:?}");

    let done = install(&installer, &[repository.at(&new, &["New"])]).await;
    assert_eq!(became(&done), [&Became::Updated]);
    assert!(done[0].proved, "{done:?}");
    assert_eq!(git(&house.pack("pack"), &["rev-parse", "HEAD"]), new);
    assert!(house.room("staging").is_empty());

    // What was changed by hand stays as it is.
    fs::write(house.pack("pack").join("__init__.py"), nodes(&["Mine"])).unwrap();
    let done = install(&installer, &[repository.at(&old, &["Old"])]).await;
    assert!(why(&done[0]).contains("local changes (__init__.py)"), "{done:?}");
    assert_eq!(fs::read_to_string(house.pack("pack").join("__init__.py")).unwrap(), nodes(&["Mine"]));
    let done = install(&installer, &[repository.at(&new, &[])]).await;
    assert_eq!(became(&done), [&Became::Kept]);
    assert_eq!(done[0].notes, ["it is at its commit, and was changed by hand: __init__.py"]);
    assert_eq!(git(&house.pack("pack"), &["rev-parse", "HEAD"]), new);
}

#[tokio::test]
async fn over_http_one_commit_is_fetched_alone() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let first = repository.commit(&[("__init__.py", "first")]);
    let second = repository.commit(&[("__init__.py", "second")]);
    let third = repository.commit(&[("__init__.py", "third")]);
    let server = git_server(repository.folder.path()).await;
    let url = format!("http://127.0.0.1:{}/pack", server.port);
    let installer = house.installer();
    let done = install(&installer, &[locked("pack", &url, &second, &[])]).await;
    assert_eq!(became(&done), [&Became::Installed]);
    assert_eq!(git(&house.pack("pack"), &["rev-list", "--all", "HEAD"]), second, "and none of its history");
    // Forwards, and back behind the beginning of what was fetched; shortened, which no server understands.
    for commit in [&third, &first[..9].to_owned()] {
        let done = install(&installer, &[locked("pack", &url, commit, &[])]).await;
        assert_eq!(became(&done), [&Became::Updated]);
        assert!(git(&house.pack("pack"), &["rev-parse", "HEAD"]).starts_with(commit.as_str()));
    }
    assert_eq!(fs::read_to_string(house.pack("pack").join("__init__.py")).unwrap(), "first");
}

#[tokio::test]
async fn submodules_come_along() {
    let (house, inner, outer) = (House::new(), Repository::new("inner"), Repository::new("outer"));
    inner.commit(&[("lib.py", "x = 1\n")]);
    outer.commit(&[("__init__.py", &nodes(&["Outer"]))]);
    outer.git(&["submodule", "--quiet", "add", &inner.url(), "vendor/inner"]);
    let commit = outer.commit(&[]);
    let done = install(&house.installer(), &[outer.at(&commit, &[])]).await;
    assert_eq!(became(&done), [&Became::Installed]);
    assert!(house.pack("outer/vendor/inner/lib.py").is_file());
    assert!(done[0].notes.iter().any(|note| note.contains("not restarted")), "{done:?}");
}

#[tokio::test]
async fn what_cannot_be_had_leaves_nothing() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let commit = repository.commit(&[("__init__.py", "")]);
    let missing = "1234567890123456789012345678901234567890";
    let installer = house.installer();
    let packs = [
        repository.at(missing, &[]),
        locked("gone", "file:///nowhere/gone", &commit, &[]),
        locked("evil", "--upload-pack=touch /tmp/x", &commit, &[]),
        locked("shell", "ext::sh -c true", &commit, &[]),
        locked("secret", "https://me:pass@example.com/secret", &commit, &[]),
    ];
    let done = install(&installer, &packs).await;
    assert!(why(&done[0]).contains("is not in"), "{done:?}");
    assert!(why(&done[1]).contains("git fetch"), "{done:?}");
    assert!(matches!(done[2].became, Became::Conflict(_)) && matches!(done[3].became, Became::Conflict(_)));
    assert!(why(&done[4]).contains("credential helper") && !why(&done[4]).contains("pass@"), "{done:?}");
    assert_eq!(fs::read_dir(house.pack("")).unwrap().count(), 0);
    assert!(house.room("staging").is_empty() && house.room("trash").is_empty());

    let without = Installer { git: Git::default(), ..house.installer() };
    let done = install(&without, &[repository.at(&commit, &[])]).await;
    assert!(why(&done[0]).contains("has to be allowed"), "{done:?}");
    let no_git = Git { program: "/nowhere/git".into(), transports: crate::house::LOCAL, ..Git::default() };
    let done = install(&Installer { git: no_git, ..house.installer() }, &[repository.at(&commit, &[])]).await;
    assert!(why(&done[0]).contains("is it installed"), "{done:?}");
}
