//! Against a real ComfyUI, if somebody says where it is: `REAL_COMFYUI` is the folder with its `main.py`, `REAL_PYTHON` the
//! Python that it runs with. That folder is copied and not changed.
//!
//! ```sh
//! REAL_COMFYUI=…/ComfyUI REAL_PYTHON=…/python cargo test --test it -- --ignored real_comfyui
//! ```

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use comfyport_depot::{Sha256, testing::safetensors};
use comfyport_packs::testing::{FakeRegistry, Repository};
use serde_json::{Value, json};

use crate::{
    host::{Host, There},
    process::{Comfyport, command},
};

/// It loads a model in name alone: what matters is that it is there.
const PACK: &str = r#"
import folder_paths


class ComfyportTint:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {
            "image": ("IMAGE",),
            "vae_name": (folder_paths.get_filename_list("vae"),),
            "strength": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0}),
        }}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, image, vae_name, strength):
        assert folder_paths.get_full_path("vae", vae_name)
        return (image * (1.0 - strength),)


NODE_CLASS_MAPPINGS = {"ComfyportTint": ComfyportTint}
"#;

/// How long a ComfyUI may take to start, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_mins(5);

/// A ComfyUI that goes with the test.
struct Running {
    child: Child,
    url: String,
}

impl Running {
    async fn start(folder: &Path, python: &str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        // Whoever takes the port in between makes the test fail, not lie.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(folder.join("comfyui.log")).unwrap();
        let child = Command::new(python)
            .args(["main.py", "--cpu", "--port", &port.to_string()])
            .current_dir(folder)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut this = Self { child, url: format!("http://127.0.0.1:{port}") };
        let begun = Instant::now();
        while reqwest::get(format!("{}/system_stats", this.url)).await.is_err() {
            let ended = this.child.try_wait().unwrap();
            let said = || fs::read_to_string(folder.join("comfyui.log")).unwrap();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{ended:?}\n{}", said());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        this
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A project of one workflow, which needs a pack and a model.
fn project(folder: &Path, pack: &Repository, model_url: &str, sha256: &str) {
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 16_777_215}},
        "2": {"class_type": "ComfyportTint", "inputs": {"image": ["1", 0], "vae_name": "tiny.safetensors", "strength": 0.5}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "tint"}},
    });
    fs::write(folder.join("tint.json"), graph.to_string()).unwrap();
    let sidecar = format!(
        "[models.\"tiny.safetensors\"]\nfolder = \"vae\"\nurl = \"{model_url}\"\nsha256 = \"{sha256}\"\n\n\
         [node_packs.tint]\nrepository = \"{}\"\nclasses = [\"ComfyportTint\"]\n",
        pack.url()
    );
    fs::write(folder.join("tint.toml"), sidecar).unwrap();
}

/// Runs a command on a thread of its own: the host of the model is on this one.
async fn run(registry: &FakeRegistry, arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    command.env("COMFYPORT_FETCH_ALLOW", "[\"127.0.0.1\"]");
    command.env("COMFYPORT_NODES_GIT_TRANSPORTS", "[\"file\"]");
    command.env("COMFYPORT_NODES_REGISTRY", registry.server.url());
    command.env("COMFYPORT_MODELS_RESERVE_BYTES", "0");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What the server says of the workflow, once it knows.
async fn readiness(server: &Comfyport) -> Value {
    server.read("/tint", 200).await.json()["engines"][0].clone()
}

fn serve(url: &str, workflows: &Path) -> Comfyport {
    Comfyport::in_front_of_with(url, &[("COMFYPORT_WORKFLOWS_DIR", workflows.to_str().unwrap())])
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[tokio::test]
#[ignore = "needs a ComfyUI, named by REAL_COMFYUI and REAL_PYTHON"]
async fn a_fresh_one_gets_all_that_a_workflow_needs() {
    let [app, python] = ["REAL_COMFYUI", "REAL_PYTHON"].map(|name| env::var(name).expect(name));
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    copy(Path::new(&app), &at("comfyui"));
    fs::remove_dir_all(at("comfyui/custom_nodes")).unwrap();
    fs::create_dir(at("comfyui/custom_nodes")).unwrap();
    fs::create_dir(at("workflows")).unwrap();
    let (pack, tiny) = (Repository::new("tint"), safetensors(1, 1000));
    let commit = pack.commit(&[("__init__.py", PACK)]);
    let host = Host::new(&[("/tiny.safetensors", There::File(tiny.clone()))]).await;
    project(&at("workflows"), &pack, &host.url("/tiny.safetensors"), &Sha256::of(&tiny).to_string());
    let (comfyui, workflows) = (at("comfyui"), at("workflows"));
    let [comfyui, workflows, models, lock] =
        [&comfyui, &workflows, &at("comfyui/models"), &at("workflows/comfyport.lock")]
            .map(|path| path.to_str().unwrap().to_owned());

    // It knows nothing, and nobody outside is asked.
    let registry = FakeRegistry::start().await;

    // Red: neither pack nor model is there.
    let engine = Running::start(Path::new(&comfyui), &python).await;
    let server = serve(&engine.url, Path::new(&workflows));
    let red = readiness(&server).await;
    println!("before: {red}");
    assert_eq!(red["ready"], false);
    assert!(red["reason"].to_string().contains("ComfyportTint"), "{red}");
    server.call("/tint", &json!({}), 503).await;
    let problem = server.read("/ready?workflow=tint", 503).await.json();
    assert_eq!(problem["code"], "workflow_not_ready", "{problem}");
    drop((server, engine));

    let locked = run(&registry, &["lock", "--resolve", &workflows]).await;
    println!("{}", text(&locked));
    assert!(fs::read_to_string(&lock).unwrap().contains(&commit), "{}", text(&locked));
    let begun = Instant::now();
    let site = ["--comfyui", &comfyui, "--python", &python, "--lock", &lock, "--workflow", "tint"];
    let installed =
        run(&registry, &[&["nodes", "install", "--trial", "--trial-arg=--cpu"], &site[..]].concat()).await;
    println!("{} in {:.1} s", text(&installed), begun.elapsed().as_secs_f64());
    assert!(installed.status.success(), "{}", text(&installed));
    assert!(text(&installed).contains("installed    tint\n"), "proved: {}", text(&installed));
    let pulled =
        run(&registry, &["models", "pull", "--to", &models, "--lock", &lock, "--workflow", "tint"]).await;
    println!("{}", text(&pulled));
    assert!(pulled.status.success(), "{}", text(&pulled));

    // Green: and it runs.
    let engine = Running::start(Path::new(&comfyui), &python).await;
    let server = serve(&engine.url, Path::new(&workflows));
    let green = readiness(&server).await;
    println!("after: {green}");
    assert_eq!(green["ready"], true);
    server.read("/ready?workflow=tint", 200).await;
    let answer = server.expect(server.post("/tint").header("accept", "image/png").body("{}"), 200).await;
    let picture = image::load_from_memory(&answer.body).unwrap().to_rgb8();
    // White, half as bright.
    assert_eq!((picture.dimensions(), picture.get_pixel(9, 9).0), ((64, 64), [127, 127, 127]));

    let site = ["--comfyui-url", &engine.url, "--comfyui", &comfyui, "--python", &python, "--lock", &lock];
    let examined = run(&registry, &[&["doctor", "--format", "json"], &site[..]].concat()).await;
    let report: Value = serde_json::from_slice(&examined.stdout).unwrap();
    for check in ["version", "reach", "packs", "python", "disk"] {
        let found = report["findings"].as_array().unwrap().iter().find(|one| one["check"] == check).unwrap();
        println!("{found}");
        assert_eq!(found["level"], "fine", "{found}");
    }
}
