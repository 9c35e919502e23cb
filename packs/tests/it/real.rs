//! Against a real ComfyUI, if somebody says where it is: `REAL_COMFYUI` is the folder with its `main.py`, `REAL_PYTHON`
//! the Python that it runs with. Nothing in that folder is changed.

use std::{env, fs, path::Path, time::Duration};

use comfyport_packs::{Became, Engine, Installer, Place, Process, Python, Restart, testing::Repository};

use crate::house::{House, carry_out, install, why};

const NODE: &str = r#"
class Doubled:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"number": ("INT", {"default": 1})}}

    RETURN_TYPES = ("INT",)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, number):
        return (number * 2,)


NODE_CLASS_MAPPINGS = {"ComfyportDoubled": Doubled}
"#;

#[tokio::test]
#[ignore = "needs a ComfyUI, named by REAL_COMFYUI and REAL_PYTHON"]
async fn a_real_comfyui_gets_a_pack_and_is_rid_of_another() {
    let [app, python] = ["REAL_COMFYUI", "REAL_PYTHON"].map(|name| env::var(name).expect(name));
    let house = House::new();
    let folder = house.folder.path().to_owned();
    // What it asks of Python is known by its own list.
    fs::copy(Path::new(&app).join("requirements.txt"), folder.join("requirements.txt")).unwrap();
    let (port, base) = (house.port.to_string(), folder.display().to_string());
    let command = [&python, "main.py", "--cpu", "--port", &port, "--base-directory", &base];
    let command = command.map(str::to_owned).to_vec();
    let process = Process { command, folder: app.into(), log: folder.join("comfyui.log") };
    let engine = Engine::new(house.client(), Some(Restart::Process(process)), Duration::from_mins(5));
    let installer = Installer {
        place: Place::new(&folder, Some(Path::new(&python))).unwrap(),
        python: Some(Python::new(python.into(), None, Duration::from_mins(5))),
        engine: Some(engine),
        ..house.installer()
    };

    let good = Repository::new("doubled");
    let commit = good.commit(&[("__init__.py", NODE)]);
    // Begun before it is installed, so that all of what ComfyUI does on a first start is behind us.
    installer.engine.as_ref().unwrap().restart().await.unwrap();
    let done = install(&installer, &[good.at(&commit, &["ComfyportDoubled"])]).await;
    println!("{}", done[0]);
    assert_eq!(done[0].became, Became::Installed);
    assert!(done[0].proved, "{done:?}");
    let info = house.client().object_info().await.unwrap();
    let module = info.get("ComfyportDoubled").and_then(|class| class.get("python_module"));
    assert_eq!(module.and_then(|module| module.as_str()), Some("custom_nodes.doubled"));

    let bad = Repository::new("broken");
    let commit = bad.commit(&[("__init__.py", "import no_such_library_anywhere\n")]);
    let done = install(&installer, &[bad.at(&commit, &["Broken"])]).await;
    println!("{}", done[0]);
    assert!(why(&done[0]).contains("No module named 'no_such_library_anywhere'"), "{done:?}");
    assert!(!house.pack("broken").exists() && house.pack("doubled").is_dir());
    let dead = Repository::new("dead");
    let commit = dead.commit(&[("__init__.py", "import sys\nprint('the end', flush=True)\nsys.exit(9)\n")]);
    let done = install(&installer, &[dead.at(&commit, &[])]).await;
    println!("{}", done[0]);
    assert!(matches!(done[0].became, Became::RolledBack(_)), "{done:?}");
    // What ComfyUI needs is not replaced.
    let greedy = Repository::new("greedy");
    let commit = greedy.commit(&[("__init__.py", NODE), ("requirements.txt", "numpy==1.0.3\n")]);
    let done = install(&installer, &[greedy.at(&commit, &[])]).await;
    println!("{}", done[0]);
    assert!(why(&done[0]).contains("nothing was changed"), "{done:?}");

    let plan = installer.plan_remove(&["doubled".to_owned()]).unwrap();
    let done = carry_out(&installer, &plan).await;
    assert_eq!(done[0].became, Became::Removed);
    assert!(done[0].proved && installer.engine.as_ref().unwrap().is_up().await);
}
