//! `comfyport nodes` over the real binary: repositories, a registry, Managers and a stand-in for ComfyUI on this machine.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use comfyport_packs::testing::{FakeManager, FakeRegistry, Repository, furnish, git, nodes};
use serde_json::{Value, json};

use crate::process::{command, python};

/// A folder of ComfyUI, a lock and a registry.
struct Desk {
    folder: tempfile::TempDir,
    registry: FakeRegistry,
}

impl Desk {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("comfyui")).unwrap();
        furnish(&folder.path().join("comfyui"));
        let desk = Self { folder, registry: FakeRegistry::start().await };
        desk.lock(&[]);
        desk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pack(&self, name: &str) -> PathBuf {
        self.at("comfyui/custom_nodes").join(name)
    }

    /// Locks packs: id, lines, class.
    fn lock(&self, packs: &[(&str, String, &str)]) {
        let mut lock = "version = 1\n".to_owned();
        for (id, lines, class) in packs {
            lock += &format!(
                "\n[[pack]]\nid = \"{id}\"\n{lines}\nclasses = [\"{class}\"]\nworkflows = [\"test/one\"]\n"
            );
        }
        // So that the workflow is known if it needs none.
        lock += "\n[[model]]\nfolder = \"vae\"\nfile = \"x.safetensors\"\nworkflows = [\"test/one\"]\n";
        fs::write(self.at("comfyport.lock"), lock).unwrap();
    }

    /// For the folder of ComfyUI.
    async fn run(&self, arguments: &[&str], more: &[&str]) -> Output {
        let comfyui = self.at("comfyui");
        let mut all = arguments.to_vec();
        all.extend(["--comfyui", comfyui.to_str().unwrap()]);
        all.extend(more);
        self.run_anywhere(&all).await
    }

    /// On a thread of its own: servers are on this one.
    async fn run_anywhere(&self, arguments: &[&str]) -> Output {
        let mut command = command(&["nodes"]);
        command.args(arguments).args(["--workflow", "test/one", "--lock"]).arg(self.at("comfyport.lock"));
        command.env("COMFYPORT_NODES_REGISTRY", self.registry.server.url());
        command.env("COMFYPORT_NODES_GIT_TRANSPORTS", "[\"file\"]");
        command.env("COMFYPORT_FETCH_ALLOW", "[\"127.0.0.1\"]");
        command.env("COMFYPORT_NODES_START_TIMEOUT_S", "60");
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

fn at(repository: &Repository, commit: &str) -> String {
    format!("repository = \"{}\"\ncommit = \"{commit}\"", repository.url())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn said(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

fn project(id: &str, version: &str) -> String {
    format!("[project]\nname = \"{id}\"\nversion = \"{version}\"\n")
}

#[tokio::test]
async fn packs_are_installed_at_their_pins_and_proved() {
    let (desk, one, python) = (Desk::new().await, Repository::new("one"), python());
    let commit = one.commit(&[("__init__.py", &nodes(&["One"]))]);
    one.commit(&[("__init__.py", &nodes(&["Newer"]))]);
    let (files, init) = (project("two", "1.2.0"), nodes(&["Two"]));
    desk.registry.put_version(
        "two",
        "1.2.0",
        "Active",
        &[("pyproject.toml", &files), ("__init__.py", &init)],
    );
    desk.lock(&[("one", at(&one, &commit), "One"), ("two", "version = \"1.2.0\"".to_owned(), "Two")]);

    let planned = desk.run(&["install", "--dry-run"], &[]).await;
    assert_eq!(planned.status.code(), Some(0), "{}", said(&planned));
    let plan = text(&planned.stdout);
    assert!(plan.contains(&format!("install   one into one: commit {}", &commit[..12])), "{plan}");
    assert!(plan.contains("install   two into two: version 1.2.0 of two in the Comfy Registry"), "{plan}");
    assert!(plan.contains("without --dry-run") && !desk.pack("one").exists(), "{plan}");

    let trial = ["--trial", "--trial-arg=--cpu", "--python", &python];
    let done = desk.run(&["install"], &trial).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!(text(&done.stdout), "installed    one\ninstalled    two\n");
    assert!(text(&done.stderr).contains("install   one into one"), "the plan is told first");
    assert_eq!(git(&desk.pack("one"), &["rev-parse", "HEAD"]), commit);
    assert!(desk.pack("two/pyproject.toml").is_file());

    let again = desk.run(&["install", "--format", "json"], &trial).await;
    let report = json_of(&again);
    assert_eq!(report["outcomes"][0]["became"], "kept");
    assert_eq!(report["applied"], true);
    let listed = text(&desk.run(&["list"], &[]).await.stdout);
    assert!(
        listed.contains(&format!("one\t{}\t{}\tpresent\ttest/one\n", &commit[..12], &commit[..12])),
        "{listed}"
    );
    assert!(listed.contains("two\t1.2.0\t1.2.0\tpresent\ttest/one\n"), "{listed}");
}

#[tokio::test]
async fn what_comfyui_cannot_live_with_is_taken_back() {
    let (desk, good, bad) = (Desk::new().await, Repository::new("good"), Repository::new("bad"));
    let fine = good.commit(&[("__init__.py", &nodes(&["Good"]))]);
    let broken = bad.commit(&[("__init__.py", "raise RuntimeError('no such thing')\n")]);
    desk.lock(&[("good", at(&good, &fine), "Good"), ("bad", at(&bad, &broken), "Bad")]);
    let done = desk.run(&["install"], &["--trial", "--python", &python()]).await;
    assert_eq!(done.status.code(), Some(1));
    let report = text(&done.stdout);
    assert!(
        report.contains("installed    good\n")
            && report.contains("rolled back  bad: ComfyUI could not import it: no such thing"),
        "{report}"
    );
    assert!(desk.pack("good").is_dir() && !desk.pack("bad").exists());
    let listed = text(&desk.run(&["list"], &[]).await.stdout);
    assert!(listed.contains(&format!("bad\t\t{}\tmissing\ttest/one", &broken[..12])), "{listed}");
}

#[tokio::test]
async fn a_command_of_the_operator_restarts_it() {
    let (desk, one, python) = (Desk::new().await, Repository::new("one"), python());
    let commit = one.commit(&[("__init__.py", &nodes(&["One"]))]);
    desk.lock(&[("one", at(&one, &commit), "One")]);
    // Whoever takes the port in between makes the test fail, not lie.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (main, pid) = (desk.at("comfyui/main.py"), desk.at("pid"));
    let restart = format!(
        "[ -f {pid} ] && kill -9 $(cat {pid}); {python} {main} --port {port} >{log} 2>&1 & echo $! >{pid}",
        main = main.display(),
        pid = pid.display(),
        log = desk.at("log").display(),
    );
    let url = format!("http://127.0.0.1:{port}");
    let proof = ["--comfyui-url", &url, "--restart-command", &restart];
    let done = desk.run(&["install"], &proof).await;
    let listed = desk.run(&["list", "--comfyui-url", &url], &[]).await;
    let removed = desk.run(&["remove", "one", "--apply"], &proof).await;
    let id = fs::read_to_string(&pid).unwrap();
    Command::new("kill").arg("-9").arg(id.trim()).status().unwrap();
    assert_eq!(text(&done.stdout), "installed    one\n", "{}", said(&done));
    assert!(text(&listed.stdout).contains("\tloaded\ttest/one"), "{}", said(&listed));
    assert!(text(&removed.stdout).starts_with("removed      one\n"), "{}", said(&removed));
    assert!(text(&removed.stderr).contains("warning: one is needed by test/one"), "{}", said(&removed));
}

#[tokio::test]
async fn updates_and_removals_are_plans_until_told() {
    let (desk, one) = (Desk::new().await, Repository::new("one"));
    let old = one.commit(&[("__init__.py", &nodes(&["One"]))]);
    desk.lock(&[("one", at(&one, &old), "One")]);
    let done = desk.run(&["install"], &[]).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(text(&done.stdout).contains("installed    one, not proved by ComfyUI"), "{}", said(&done));
    let new = one.commit(&[("__init__.py", &nodes(&["One", "More"]))]);

    let planned = desk.run(&["update"], &[]).await;
    assert_eq!(planned.status.code(), Some(0), "{}", said(&planned));
    assert!(
        text(&planned.stdout).contains(&format!("update    one from {}", &old[..12])),
        "{}",
        said(&planned)
    );
    assert!(
        text(&planned.stdout).contains("--apply")
            && fs::read_to_string(desk.at("comfyport.lock")).unwrap().contains(&old)
    );
    let updated = desk.run(&["update", "one", "--apply", "--trial"], &["--python", &python()]).await;
    assert_eq!(updated.status.code(), Some(0), "{}", said(&updated));
    assert!(text(&updated.stdout).starts_with("updated      one\n"), "{}", said(&updated));
    assert_eq!(git(&desk.pack("one"), &["rev-parse", "HEAD"]), new);
    let lock = fs::read_to_string(desk.at("comfyport.lock")).unwrap();
    assert!(lock.contains(&new) && !lock.contains(&old), "{lock}");

    let planned = desk.run(&["remove", "one", "nobody"], &[]).await;
    assert_eq!(planned.status.code(), Some(1), "there is nobody");
    assert!(
        desk.pack("one").exists() && text(&planned.stdout).contains("remove    one at"),
        "{}",
        said(&planned)
    );
    let removed = desk.run(&["remove", "one", "--apply", "--format", "json"], &[]).await;
    assert_eq!(json_of(&removed)["outcomes"][0]["became"], "removed");
    assert!(!desk.pack("one").exists());
}

#[tokio::test]
async fn where_there_is_no_shell_its_manager_does_it() {
    for version in ["V3.39.2", "V3.41", "V4.2.2"] {
        let desk = Desk::new().await;
        let (server, shared) = FakeManager::new(version).serve().await;
        let url = server.url();
        let commit = "1".repeat(40);
        desk.lock(&[
            ("good", "version = \"1.0.0\"".to_owned(), "good node"),
            ("lie", "version = \"1.0.0\"".to_owned(), "lie node"),
            (
                "cloned",
                format!("repository = \"https://github.com/o/cloned\"\ncommit = \"{commit}\""),
                "cloned node",
            ),
        ]);
        shared.lock().unwrap().lies = vec!["lie"];
        let done = desk.run_anywhere(&["install", "--comfyui-url", &url]).await;
        let report = text(&done.stdout);
        assert_eq!(done.status.code(), Some(1), "{version}: {}", said(&done));
        assert!(report.contains("installed    good\n"), "{version}: {report}");
        assert!(
            report.contains("failed       lie: ComfyUI-Manager said that it was done, and it is not there"),
            "{report}"
        );
        if version == "V4.2.2" {
            assert!(report.contains("cloned: ") && report.contains("cannot install a commit"), "{report}");
        } else {
            assert!(report.contains("installed    cloned\n"), "{version}: {report}");
        }
        let listed = text(&desk.run_anywhere(&["list", "--comfyui-url", &url]).await.stdout);
        assert!(listed.contains("good\t1.0.0\t1.0.0\tloaded\ttest/one"), "{listed}");
        assert!(listed.contains("lie\t\t1.0.0\tmissing"), "{listed}");

        desk.registry.put_pack("good", "https://example.com/o/good", "1.1.0");
        let updated = desk.run_anywhere(&["update", "good", "--apply", "--comfyui-url", &url]).await;
        assert_eq!(updated.status.code(), Some(0), "{version}: {}", said(&updated));
        let lock = fs::read_to_string(desk.at("comfyport.lock")).unwrap();
        assert!(lock.contains("\"1.1.0\""), "{lock}");
        let removed = desk.run_anywhere(&["remove", "good", "--apply", "--comfyui-url", &url]).await;
        assert!(text(&removed.stdout).starts_with("removed      good\n"), "{version}: {}", said(&removed));
        assert_eq!(shared.lock().unwrap().installed.get("good"), None);
    }
}

#[tokio::test]
async fn engines_of_the_configuration_may_have_their_folders_here() {
    let (desk, one) = (Desk::new().await, Repository::new("one"));
    let commit = one.commit(&[("__init__.py", &nodes(&["One"]))]);
    desk.lock(&[("one", at(&one, &commit), "One")]);
    let config = desk.at("config.toml");
    let table = format!(
        "[[engine]]\nname = \"here\"\nurl = \"http://127.0.0.1:1\"\ncomfyui = {:?}\n\n[[engine]]\nname = \"away\"\n\
         url = \"http://127.0.0.1:2\"\n",
        desk.at("comfyui")
    );
    fs::write(&config, table).unwrap();
    let config = config.to_str().unwrap();
    let done = desk.run_anywhere(&["install", "--engine", "here", "--config", config]).await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(text(&done.stdout).starts_with("installed    one, not proved"), "{}", said(&done));
    assert!(desk.pack("one").is_dir());
    fs::create_dir_all(desk.at("comfyui/models/vae")).unwrap();
    fs::write(desk.at("comfyui/models/vae/mine.safetensors"), "x").unwrap();
    let models =
        |engine: &str| command(&["models", "list", "--engine", engine, "--config", config]).output().unwrap();
    assert!(text(&models("here").stdout).contains("vae/mine.safetensors"), "{}", said(&models("here")));
    assert_eq!(models("away").status.code(), Some(2));
    assert!(
        said(&models("away")).contains("has no models folder on this machine"),
        "{}",
        said(&models("away"))
    );
}

#[tokio::test]
async fn what_is_not_pinned_is_told_and_not_installed() {
    let desk = Desk::new().await;
    desk.lock(&[("loose", "repository = \"https://github.com/o/loose\"".to_owned(), "Loose")]);
    let done = desk.run(&["install", "--format", "json"], &[]).await;
    assert_eq!(done.status.code(), Some(1));
    let report = json_of(&done);
    assert_eq!(report["not_installed"][0]["pack"], "loose");
    assert!(report["not_installed"][0]["help"].to_string().contains("lock --resolve"), "{report:#}");
    assert_eq!(fs::read_dir(desk.pack("")).unwrap().count(), 0);

    // Without a lock, the workflows of the project say what they need.
    let templates = desk.at("project/workflow_templates");
    fs::create_dir_all(&templates).unwrap();
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "2": {"class_type": "CannyEdgePreprocessor", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "ImageResize+", "inputs": {"image": ["2", 0]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "x"}},
    });
    fs::write(templates.join("edges.json"), graph.to_string()).unwrap();
    let mut command = command(&["nodes", "install", "--dry-run", "--workflow", "edges", "--comfyui"]);
    let done = command.arg(desk.at("comfyui")).current_dir(desk.at("project")).output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    let report = text(&done.stdout);
    assert!(
        report.contains("not pinned   comfyui_controlnet_aux of edges: no version or commit"),
        "{report}"
    );
    assert!(report.contains("of edges: it is undecided: "), "{report}");
    // What the sidecar pins is installed, and exactly that.
    let sidecar = "[node_packs.comfyui_controlnet_aux]\nversion = \"1.0.7\"\n\n[node_packs.mine]\n\
                   repository = \"https://github.com/a/mine\"\nversion = \"2.0.0\"\nclasses = [\"ImageResize+\"]\n";
    fs::write(templates.join("edges.toml"), sidecar).unwrap();
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let plan = text(&done.stdout);
    assert!(
        plan.contains("version 1.0.7 of comfyui_controlnet_aux") && plan.contains("version 2.0.0 of mine"),
        "{plan}"
    );
}

/// Whether a process is there and not merely unburied.
fn runs(id: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state
        .rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with(['Z', 'X']))
}

#[tokio::test]
async fn whoever_is_stopped_leaves_nobody_behind() {
    let (desk, slow) = (Desk::new().await, Repository::new("slow"));
    let mark = desk.at("mark");
    let init = format!(
        "import os, time\nwith open({mark:?} + '.part', 'w') as file:\n    file.write(str(os.getpid()))\n\
         os.rename({mark:?} + '.part', {mark:?})\ntime.sleep(600)\n"
    );
    let commit = slow.commit(&[("__init__.py", &init)]);
    desk.lock(&[("slow", at(&slow, &commit), "Slow")]);
    let mut command =
        command(&["nodes", "install", "--trial", "--workflow", "test/one", "--python", &python()]);
    command.arg("--comfyui").arg(desk.at("comfyui")).arg("--lock").arg(desk.at("comfyport.lock"));
    command.env("COMFYPORT_NODES_GIT_TRANSPORTS", "[\"file\"]");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = tokio::task::spawn_blocking(move || {
        loop {
            if let Ok(id) = fs::read_to_string(&mark) {
                return id;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let id = id.await.unwrap();
    assert!(runs(&id));
    Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    assert!(text(&ended.stderr).contains("stopped: "), "{}", said(&ended));
    while runs(&id) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn wrong_usage_exits_2() {
    let desk = Desk::new().await;
    let missing = desk.run_anywhere(&["list", "--comfyui", "/nowhere/at/all"]).await;
    let unknown = desk.run_anywhere(&["list", "--engine", "nobody"]).await;
    let unsaid = desk.run_anywhere(&["install"]).await;
    let alone =
        desk.run_anywhere(&["install", "--comfyui-url", "http://127.0.0.1:1", "--restart-by-manager"]).await;
    let nobody = desk.run_anywhere(&["install", "--comfyui-url", "http://127.0.0.1:1"]).await;
    for (output, expected) in [
        (missing, "no folder `custom_nodes`"),
        (unknown, "there is no engine `nobody`; there are comfyui"),
        (unsaid, "which ComfyUI? Say --comfyui DIR"),
        (alone, "name its folder, --comfyui"),
        (nobody, "127.0.0.1:1"),
    ] {
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(text(&output.stderr).contains(expected), "{}", said(&output));
    }
    let mut command = command(&["nodes", "list", "--workflow", "no/such", "--comfyui"]);
    let unknown = command.arg(desk.at("comfyui")).current_dir(desk.folder.path()).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
}

#[test]
fn folders_without_a_start_cannot_be_tried() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("custom_nodes")).unwrap();
    let list = |more: &[&str]| {
        let mut command = command(&["nodes", "list", "--comfyui"]);
        command.arg(folder.path()).args(more).current_dir(Path::new("/")).output().unwrap()
    };
    let tried = list(&["--trial"]);
    assert_eq!(tried.status.code(), Some(2));
    assert!(said(&tried).contains("has no main.py"), "{}", said(&tried));
    assert_eq!(list(&[]).status.code(), Some(0));
}
