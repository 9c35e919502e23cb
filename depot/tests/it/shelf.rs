//! What is in a models folder: listed, verified, tidied up by plans that are looked at first.

use std::path::Path;

use comfyport_depot::{
    ModelName, Sha256, Shelf, Task, VerifyState, Wanted,
    testing::{safetensors, tensors},
};

use crate::{Home, name, wanted};

fn put(home: &Home, path: &str, content: impl AsRef<[u8]>) {
    let path = home.model(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn shelf(home: &Home) -> Shelf {
    Shelf::open(&home.model(""), Some(&home.folder.path().join("index.json"))).unwrap()
}

fn names(names: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}

#[test]
fn models_are_listed_and_nothing_else() {
    let home = Home::new();
    put(&home, "loras/b/x.safetensors", safetensors(1, 10));
    put(&home, "checkpoints/a.ckpt", "x");
    put(&home, "checkpoints/put_checkpoints_here", "");
    put(&home, "checkpoints/a.png", "x");
    put(&home, "loras/.hidden.safetensors", "x");
    put(&home, "beside.safetensors", "x");
    std::os::unix::fs::symlink("a.ckpt", home.model("checkpoints/link.ckpt")).unwrap();
    std::os::unix::fs::symlink("none.ckpt", home.model("checkpoints/nowhere.ckpt")).unwrap();
    let models = shelf(&home).list().unwrap();
    let listed = names(models.iter().map(|model| &model.name));
    assert_eq!(listed, ["checkpoints/a.ckpt", "checkpoints/link.ckpt", "loras/b/x.safetensors"]);
    assert!(models[1].symlink && !models[0].symlink);
    assert!(Shelf::open(Path::new("/nowhere/at/all"), None).is_err());
}

#[test]
fn each_state_is_told_and_hashes_are_remembered_while_files_stay() {
    let home = Home::new();
    let content = safetensors(1, 1000);
    put(&home, "loras/x.safetensors", &content);
    put(&home, "loras/junk.safetensors", "junk that is no safetensors file");
    let digest = Sha256::of(&content);
    let with = |file: &str, size: Option<u64>, sha256: Option<Sha256>| Wanted {
        name: name(file),
        size,
        sha256,
        ..wanted("civitai:1")
    };
    let other = Sha256::of(b"other");
    let all = [
        with("loras/x.safetensors", Some(content.len() as u64), Some(digest)),
        with("loras/x.safetensors", None, None),
        with("loras/none.safetensors", None, None),
        with("loras/x.safetensors", Some(5), Some(digest)),
        with("loras/x.safetensors", None, Some(other)),
        with("loras/junk.safetensors", None, None),
    ];
    let verdicts = shelf(&home).verify(&all, false).unwrap();
    let states: Vec<VerifyState> = verdicts.into_iter().map(|verdict| verdict.state).collect();
    let size = content.len() as u64;
    assert_eq!(
        states[..5],
        [
            VerifyState::Good { sha256: digest },
            VerifyState::Unknown { sha256: digest },
            VerifyState::Missing,
            VerifyState::WrongSize { expected: 5, actual: size },
            VerifyState::WrongHash { expected: other, actual: digest },
        ]
    );
    assert!(matches!(&states[5], VerifyState::Broken { why } if why.contains("not a safetensors file")));

    // Changed behind the back of the index, with size and time as they were: only a fresh look tells.
    let path = home.model("loras/x.safetensors");
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    let mut changed = content.clone();
    changed[500] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let state = |afresh| shelf(&home).verify(&all[..1], afresh).unwrap().remove(0).state;
    assert_eq!(state(false), VerifyState::Good { sha256: digest });
    assert_eq!(state(true), VerifyState::WrongHash { expected: digest, actual: Sha256::of(&changed) });
    // With another time, it is read again.
    std::fs::write(&path, &content).unwrap();
    assert_eq!(state(false), VerifyState::Good { sha256: digest });
}

#[test]
fn content_that_is_there_twice_is_found_unless_it_takes_no_room() {
    let home = Home::new();
    let (one, two) = (safetensors(1, 1000), safetensors(2, 1000));
    put(&home, "loras/a.safetensors", &one);
    put(&home, "loras/b.safetensors", &one);
    put(&home, "unet/c.safetensors", &one);
    put(&home, "loras/d.safetensors", &two);
    std::fs::hard_link(home.model("loras/d.safetensors"), home.model("loras/e.safetensors")).unwrap();
    let found = shelf(&home).duplicates().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(names(&found[0].names), ["loras/a.safetensors", "loras/b.safetensors", "unet/c.safetensors"]);
    assert_eq!((found[0].sha256, found[0].wasted()), (Sha256::of(&one), 2 * one.len() as u64));
}

#[test]
fn what_lies_in_the_wrong_folder_is_moved_by_plan() {
    let home = Home::new();
    let lora = tensors(1, &["lora_unet_x.lora_up.weight"], 10);
    let model = tensors(2, &["model.diffusion_model.x"], 10);
    put(&home, "checkpoints/lora.safetensors", &lora);
    put(&home, "checkpoints/sub/unet.safetensors", &model);
    put(&home, "unet/fine.safetensors", &model);
    put(&home, "loras/fine.safetensors", &lora);
    put(&home, "somepack/lora.safetensors", &lora);
    put(&home, "checkpoints/taken.safetensors", &lora);
    put(&home, "loras/taken.safetensors", "something else");
    put(&home, "vae/unknown.safetensors", safetensors(3, 10));
    let before = home.files("models");
    let plan = shelf(&home).organize().unwrap();
    assert_eq!(home.files("models"), before, "a plan does nothing");
    let moves: Vec<(String, String)> = plan
        .0
        .iter()
        .map(|planned| match &planned.task {
            Task::Move { from, to } => (from.to_string(), to.to_string()),
            task @ Task::Remove { .. } => panic!("{task:?}"),
        })
        .collect();
    let expected = [
        ("checkpoints/lora.safetensors", "loras/lora.safetensors"),
        ("checkpoints/sub/unet.safetensors", "diffusion_models/sub/unet.safetensors"),
    ];
    assert_eq!(moves, expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
    // In the meantime, somebody puts another file where one would go.
    put(&home, "loras/lora.safetensors", "mine");
    let outcomes = shelf(&home).carry_out(&plan);
    assert_eq!(outcomes[0].as_ref().unwrap_err().code(), "conflict");
    assert!(outcomes[1].is_ok());
    assert_eq!(std::fs::read(home.model("loras/lora.safetensors")).unwrap(), b"mine");
    assert!(home.model("checkpoints/lora.safetensors").exists());
    assert!(home.model("diffusion_models/sub/unet.safetensors").exists());
}

#[test]
fn what_nobody_needs_is_removed_by_plan() {
    let home = Home::new();
    for file in ["loras/a.safetensors", "loras/sub/b.safetensors", "unet/c.safetensors", "vae/d.safetensors"]
    {
        put(&home, file, safetensors(1, 1000));
    }
    std::fs::hard_link(home.model("vae/d.safetensors"), home.folder.path().join("elsewhere")).unwrap();
    let needed: Vec<ModelName> = ["loras/b.safetensors", "diffusion_models/c.safetensors"].map(name).into();
    let plan = shelf(&home).cleanup(&needed).unwrap();
    let listed = names(plan.0.iter().map(|planned| planned.task.name()));
    assert_eq!(listed, ["loras/a.safetensors", "vae/d.safetensors"]);
    let size = safetensors(1, 1000).len() as u64;
    assert_eq!(plan.frees(), size, "the other one has another name too");
    assert_eq!(home.files("models").len(), 4, "a plan does nothing");
    // One is replaced before the plan is carried out.
    std::fs::remove_file(home.model("loras/a.safetensors")).unwrap();
    put(&home, "loras/a.safetensors", safetensors(2, 1000));
    let outcomes = shelf(&home).carry_out(&plan);
    assert_eq!(outcomes[0].as_ref().unwrap_err().code(), "stale");
    assert!(outcomes[1].is_ok() && !home.model("vae/d.safetensors").exists());
    assert_eq!(home.files("models").len(), 3);
}

#[test]
fn plans_do_not_follow_a_folder_that_became_a_link() {
    let home = Home::new();
    put(&home, "loras/a.safetensors", safetensors(1, 1000));
    let plan = shelf(&home).cleanup(&[]).unwrap();
    let outside = home.folder.path().join("outside");
    std::fs::rename(home.model("loras"), &outside).unwrap();
    std::os::unix::fs::symlink(&outside, home.model("loras")).unwrap();
    let outcomes = shelf(&home).carry_out(&plan);
    assert_eq!(outcomes[0].as_ref().unwrap_err().code(), "leaves");
    assert!(outside.join("a.safetensors").exists());
}
