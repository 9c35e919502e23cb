//! Node packs that the server installs, as jobs: repositories and a stand-in for ComfyUI on this machine.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
};

use comfyport_packs::testing::{FakeManager, Repository, furnish, nodes};
use serde_json::{Value, json};

use crate::{
    errands::follow,
    process::{Comfyport, http, python},
};

/// A ComfyUI on this machine that a command starts anew, and a folder of workflows that need a pack.
struct Home {
    folder: tempfile::TempDir,
    port: u16,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["comfyui", "workflows", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        furnish(&folder.path().join("comfyui"));
        // Whoever takes the port in between makes the test fail, not lie.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let graph = json!({
            "1": {"class_type": "One", "inputs": {}},
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
        });
        fs::write(folder.path().join("workflows/made.json"), graph.to_string()).unwrap();
        Self { folder, port }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn lock(&self, packs: &[(&str, &Repository, &str, &str)]) {
        let mut lock = "version = 1\n".to_owned();
        for (id, repository, commit, class) in packs {
            let url = repository.url();
            lock += &format!(
                "[[pack]]\nid = \"{id}\"\nrepository = \"{url}\"\ncommit = \"{commit}\"\nclasses = [\"{class}\"]\n\
                 workflows = [\"made\"]\n"
            );
        }
        fs::write(self.at("comfyport.lock"), lock).unwrap();
    }

    fn restart(&self) -> String {
        let (main, pid, log) = (self.at("comfyui/main.py"), self.at("pid"), self.at("log"));
        let (main, pid, log, python, port) =
            (main.display(), pid.display(), log.display(), python(), self.port);
        format!(
            "[ -f {pid} ] && kill -9 $(cat {pid}); {python} {main} --port {port} >{log} 2>&1 & echo $! >{pid}"
        )
    }

    fn serve(&self, more: &[(&str, &str)]) -> Comfyport {
        let (comfyui, restart) = (self.at("comfyui"), self.restart());
        let (lock, workflows) = (self.at("comfyport.lock"), self.at("workflows"));
        let mut settings = vec![
            ("COMFYPORT_NODES_COMFYUI", comfyui.to_str().unwrap()),
            ("COMFYPORT_NODES_RESTART_COMMAND", restart.as_str()),
            ("COMFYPORT_NODES_GIT_TRANSPORTS", "[\"file\"]"),
            ("COMFYPORT_NODES_START_TIMEOUT_S", "60"),
            ("COMFYPORT_SUPPLIES_LOCK", lock.to_str().unwrap()),
            ("COMFYPORT_WORKFLOWS_DIR", workflows.to_str().unwrap()),
            ("COMFYPORT_READINESS_FRESH_S", "0"),
        ];
        settings.extend(more);
        Comfyport::lasting(&format!("http://127.0.0.1:{}", self.port), &self.at("data"), &settings)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Ok(id) = fs::read_to_string(self.at("pid")) {
            Command::new("kill").arg("-9").arg(id.trim()).stderr(Stdio::null()).status().ok();
        }
    }
}

const ON: (&str, &str) = ("COMFYPORT_SUPPLIES_INSTALL", "true");

fn id_of(job: &Value) -> String {
    job["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_are_installed_at_their_pins_proved_and_taken_back() {
    let (home, one, bad) = (Home::new(), Repository::new("one"), Repository::new("bad"));
    fs::create_dir(home.at("comfyui/models")).unwrap();
    let commit = one.commit(&[("__init__.py", &nodes(&["One"]))]);
    one.commit(&[("__init__.py", &nodes(&["Newer"]))]);
    let broken = bad.commit(&[("__init__.py", "raise Exception('no such thing')\n")]);
    home.lock(&[("one", &one, &commit, "One")]);
    let server = home.serve(&[ON]);
    let accepted = server.call("/admin/nodes:install", &json!({"workflows": ["made"]}), 202).await;
    assert_eq!(accepted["workflow"], "nodes:install");
    let (events, job) = follow(&server, &id_of(&accepted)).await;
    assert_eq!(job["status"], "succeeded", "{job:#}\n{}", server.log());
    assert_eq!(events.last().unwrap().0, "result");
    let pack = &job["outputs"]["packs"][0];
    assert_eq!(
        (&pack["name"], &pack["became"], &pack["proved"]),
        (&json!("one"), &json!("installed"), &json!(true))
    );
    let list = server.read("/nodes", 200).await.json();
    let all = list["nodes"].as_array().unwrap();
    let node = all.iter().find(|node| node["class_type"] == "One").unwrap();
    assert_eq!(node["engines"]["comfyui"], json!({"state": "present", "module": "custom_nodes.one"}));
    // What ComfyUI cannot import is taken out again, and what was there stays.
    let pack = json!({"id": "bad", "repository": bad.url(), "commit": broken, "classes": ["Bad"]});
    let accepted = server.call("/admin/nodes:install", &json!({"packs": [pack]}), 202).await;
    let (_, job) = follow(&server, &id_of(&accepted)).await;
    let detail = job["error"]["detail"].as_str().unwrap();
    assert_eq!((&job["status"], &job["error"]["code"]), (&json!("failed"), &json!("supplies_failed")));
    assert!(detail.contains("rolled back") && detail.contains("none of its classes"), "{detail}");
    assert!(home.at("comfyui/custom_nodes/one").is_dir() && !home.at("comfyui/custom_nodes/bad").exists());
    for (wrong, said) in [
        (json!({"packs": [{"id": "loose"}]}), "neither a version nor a commit"),
        (json!({"workflows": ["none"]}), "no workflow `none`"),
        (json!({"engine": "other"}), "no engine `other`"),
    ] {
        let problem = server.call("/admin/nodes:install", &wrong, 422).await;
        assert!(problem["detail"].as_str().unwrap().contains(said), "{problem}");
    }
    drop(server);
    let off = home.serve(&[]);
    assert_eq!(off.call("/admin/nodes:install", &json!({}), 403).await["code"], "supplies_off");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_for_the_packs_that_the_lock_pins() {
    let (home, one) = (Home::new(), Repository::new("one"));
    fs::create_dir(home.at("comfyui/models")).unwrap();
    let commit = one.commit(&[("__init__.py", &nodes(&["One", "SaveImage"]))]);
    home.lock(&[("one", &one, &commit, "One")]);
    let lock = fs::read_to_string(home.at("comfyport.lock")).unwrap();
    fs::write(home.at("comfyport.lock"), lock.replace("[\"One\"]", "[\"One\", \"SaveImage\"]")).unwrap();
    Command::new("/bin/sh").args(["-c", &home.restart()]).status().unwrap();
    let up = format!("http://127.0.0.1:{}/object_info", home.port);
    let http = http();
    while http.get(&up).send().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let models = home.serve(&[("COMFYPORT_SUPPLIES_INSTALL_MISSING", "models")]);
    let refused = models.call("/made", &json!({}), 503).await;
    assert_eq!(refused["code"], "workflow_not_ready", "packs are another matter");
    drop(models);
    let server = home.serve(&[("COMFYPORT_SUPPLIES_INSTALL_MISSING", "all")]);
    let post = server.post("/made").header("prefer", "respond-async").body("{}");
    let job = id_of(&server.expect(post, 202).await.json());
    let waiting = crate::errands::until(&server, &job, |job| job["waiting"].is_object()).await;
    assert_eq!(waiting["waiting"]["for"], "packs", "{waiting:#}");
    assert_eq!(waiting["waiting"]["items"], json!(["one"]), "one pack for both classes");
    let (_, errand) = follow(&server, waiting["waiting"]["job"].as_str().unwrap()).await;
    assert_eq!(
        (&errand["workflow"], &errand["status"]),
        (&json!("nodes:install"), &json!("succeeded")),
        "{errand:#}"
    );
    let list = server.read("/nodes", 200).await.json();
    assert_eq!(list["packs"][0]["engines"], json!({"comfyui": "present"}), "{list:#}");
    assert!(server.read(&format!("/jobs/{job}"), 200).await.json().get("waiting").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_folder_the_manager_is_asked_and_not_believed() {
    let data = tempfile::tempdir().unwrap();
    let (manager, shared) = FakeManager::new("V4.2.2").serve().await;
    shared.lock().unwrap().lies = vec!["lie"];
    let settings = [ON, ("COMFYPORT_NODES_START_TIMEOUT_S", "60")];
    let server = Comfyport::lasting(&manager.url(), data.path(), &settings);
    let pack = |id: &str| json!({"id": id, "version": "1.0.0", "classes": [format!("{id} node")]});
    let wanted = json!({"packs": [pack("good"), pack("lie")]});
    let job = id_of(&server.call("/admin/nodes:install", &wanted, 202).await);
    let (_, job) = follow(&server, &job).await;
    let items = &job["error"]["items"];
    assert_eq!((&job["status"], &items[0]["became"]), (&json!("failed"), &json!("installed")), "{job:#}");
    let detail = job["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("lie: ComfyUI-Manager said that it was done, and it is not there"), "{detail}");
}
