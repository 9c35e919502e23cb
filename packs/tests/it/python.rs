//! What packs ask of Python, in an environment of the test's own and with packages that it made.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use comfyport_packs::{
    Became, Engine, Installer, Process, Python, Restart, Settings,
    testing::{Repository, git},
};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::house::{House, PATIENCE, became, install, why};

const LIMIT: Duration = Duration::from_mins(3);

/// Makes a package that can be installed.
fn wheel(shelf: &Path, name: &str, version: &str) {
    let file = fs::File::create(shelf.join(format!("{name}-{version}-py3-none-any.whl"))).unwrap();
    let mut writer = ZipWriter::new(file);
    let info = format!("{name}-{version}.dist-info");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    let tags = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    for (path, text) in [
        (format!("{name}.py"), format!("version = '{version}'\n")),
        (format!("{info}/METADATA"), metadata),
        (format!("{info}/WHEEL"), tags.to_owned()),
        (
            format!("{info}/RECORD"),
            format!("{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"),
        ),
    ] {
        writer.start_file(path, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

fn ok(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn version(python: &Path, name: &str) -> String {
    let script = format!("try:\n  import {name}\n  print({name}.version)\nexcept ImportError:\n  print('-')");
    ok(Command::new(python).args(["-c", &script])).trim().to_owned()
}

/// A ComfyUI with an environment of its own, in which `numpy` and `helper` are.
fn furnished() -> (House, PathBuf, PathBuf) {
    let house = House::new();
    let (venv, shelf) = (house.folder.path().join("venv"), house.folder.path().join("shelf"));
    fs::create_dir(&shelf).unwrap();
    for (name, number) in
        [("numpy", "1.0"), ("numpy", "2.0"), ("helper", "1.0"), ("helper", "2.0"), ("extra", "1.0")]
    {
        wheel(&shelf, name, number);
    }
    ok(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let python = venv.join("bin/python");
    let quiet = ["-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check", "--find-links"];
    ok(Command::new(&python).args(quiet).arg(&shelf).args(["numpy==1.0", "helper==1.0"]));
    (house, python, shelf)
}

fn installer(house: &House, python: &Path, shelf: &Path, uv: Option<PathBuf>) -> Installer {
    let python = python.to_owned();
    let options = ["--no-index".to_owned(), format!("--find-links={}", shelf.display())];
    // The same Python runs it, so that what is installed is what is imported.
    let folder = house.folder.path().to_owned();
    let main = folder.join("main.py").display().to_string();
    let words = [python.display().to_string(), main, "--port".to_owned(), house.port.to_string()];
    let process = Process { command: words.to_vec(), log: folder.join("comfyui.log"), folder };
    let engine = Engine::new(house.client(), Some(Restart::Process(process)), PATIENCE);
    let installer = house.installer();
    assert_eq!(
        installer.place.python().unwrap(),
        house.folder.path().canonicalize().unwrap().join("venv/bin/python")
    );
    Installer {
        python: Some(Python::new(python, uv, LIMIT).with_options(options.to_vec())),
        engine: Some(engine),
        ..installer
    }
}

#[tokio::test]
async fn requirements_are_installed_and_taken_back() {
    come_and_go(None).await;
}

#[tokio::test]
#[ignore = "needs `uv` on the PATH"]
async fn requirements_are_installed_and_taken_back_by_uv() {
    come_and_go(Some(Python::find_uv().await.expect("uv"))).await;
}

async fn come_and_go(uv: Option<PathBuf>) {
    let (house, python, shelf) = furnished();
    let installer = installer(&house, &python, &shelf, uv);
    let asks = |lines: &str| format!("--no-index\n{lines}\n");
    let node = "import helper, extra\nNODE_CLASS_MAPPINGS = {'Node': object}\n";

    // What ComfyUI holds is not replaced, and nothing else is done then.
    let greedy = Repository::new("greedy");
    let commit = greedy.commit(&[("__init__.py", node), ("requirements.txt", &asks("extra\nnumpy>=2"))]);
    let done = install(&installer, &[greedy.at(&commit, &["Node"])]).await;
    assert!(
        why(&done[0]).contains("nothing was changed") && why(&done[0]).contains("numpy==1.0"),
        "{done:?}"
    );
    assert_eq!((version(&python, "numpy"), version(&python, "extra")), ("1.0".to_owned(), "-".to_owned()));
    assert!(!house.pack("greedy").exists());

    // What breaks ComfyUI goes with what it brought, and what it replaced comes back.
    let bad = Repository::new("bad");
    let lines = "extra # for nothing\n\n# a comment\nhelper==2.0";
    let commit =
        bad.commit(&[("__init__.py", "import extra\nassert False"), ("requirements.txt", &asks(lines))]);
    let done = install(&installer, &[bad.at(&commit, &["Bad"])]).await;
    assert!(why(&done[0]).contains("could not import"), "{done:?}");
    assert!(!done[0].notes.iter().any(|note| note.contains("not as it was")), "{done:?}");
    assert_eq!((version(&python, "helper"), version(&python, "extra")), ("1.0".to_owned(), "-".to_owned()));

    let good = Repository::new("good");
    let commit = good.commit(&[("__init__.py", node), ("requirements.txt", &asks(lines))]);
    let done = install(&installer, &[good.at(&commit, &["Node"])]).await;
    assert_eq!(became(&done), [&Became::Installed]);
    assert!(done[0].proved, "{done:?}");
    assert_eq!(done[0].requirements[1..], ["extra", "helper==2.0"]);
    let changed: Vec<String> = done[0].packages.iter().map(ToString::to_string).collect();
    assert_eq!(changed, ["extra - → 1.0", "helper 1.0 → 2.0"]);
    assert_eq!(version(&python, "helper"), "2.0");
}

#[tokio::test]
async fn scripts_are_run_only_if_they_may() {
    let (house, python, shelf) = furnished();
    let installer = installer(&house, &python, &shelf, None);
    let repository = Repository::new("pack");
    let script = "open('made.txt', 'w').write('by install.py')\n";
    let commit = repository
        .commit(&[("__init__.py", "NODE_CLASS_MAPPINGS = {'Node': object}"), ("install.py", script)]);
    let done = install(&installer, &[repository.at(&commit, &["Node"])]).await;
    assert!(done[0].notes[0].contains("was not run") && !house.pack("pack/made.txt").exists(), "{done:?}");
    let worse = "import sys\nsys.exit('out of luck')\n";
    let next = repository.commit(&[("install.py", worse)]);
    let last = repository.commit(&[("install.py", script)]);
    let settings = Settings { run_install_scripts: true, ..Settings::default() };
    let installer = Installer { settings, ..installer };
    let done = install(&installer, &[repository.at(&next, &["Node"])]).await;
    assert!(why(&done[0]).contains("out of luck"), "{done:?}");
    assert_eq!(git(&house.pack("pack"), &["rev-parse", "HEAD"]), commit);
    let done = install(&installer, &[repository.at(&last, &["Node"])]).await;
    assert_eq!(became(&done), [&Became::Updated]);
    assert!(done[0].notes[0].contains("was run") && house.pack("pack/made.txt").is_file(), "{done:?}");
}

#[tokio::test]
async fn without_a_python_nothing_is_asked_of_it() {
    let (house, repository) = (House::new(), Repository::new("pack"));
    let project = "[project]\nname = \"pack\"\nversion = \"1\"\ndependencies = [\"numpy\"]\n";
    let commit = repository.commit(&[("pyproject.toml", project)]);
    let done = install(&house.installer(), &[repository.at(&commit, &[])]).await;
    assert!(why(&done[0]).contains("Python of ComfyUI is not known"), "{done:?}");
    assert!(!house.pack("pack").exists());
}
