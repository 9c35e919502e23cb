//! Snapshots of others, there and back.

use comfyport_needs::{ProjectLock, snapshot};
use serde_json::{Value, json};

const HASH: &str = "aa00000000000000000000000000000000000000000000000000000000000000";

const LOCK: &str = r#"
version = 1
comfyui = "0123456789abcdef0123456789abcdef01234567"
python = "3.12"

[[model]]
folder = "vae"
file = "sub/a.safetensors"
urls = ["https://huggingface.co/o/r/resolve/abc/sub/a.safetensors"]
size = 7
sha256 = "aa00000000000000000000000000000000000000000000000000000000000000"
workflows = []

[[pack]]
id = "ComfyUI-A"
repository = "https://github.com/o/ComfyUI-A"
commit = "89abcdef0123456789abcdef0123456789abcdef"
classes = []
workflows = []

[[pack]]
id = "comfyui-b"
version = "1.2.3"
classes = []
workflows = []

[[pack]]
id = "loose"
classes = []
workflows = []
"#;

#[test]
fn what_is_written_is_read_again() {
    let lock = ProjectLock::parse(LOCK).unwrap();
    let manager: Value = serde_json::from_str(&snapshot::write_manager(&lock)).unwrap();
    assert_eq!(manager["git_custom_nodes"]["https://github.com/o/ComfyUI-A"]["disabled"], false);
    assert_eq!(manager["cnr_custom_nodes"], json!({"comfyui-b": "1.2.3"}));
    assert_eq!(manager["comfyui"], lock.comfyui.as_deref().unwrap());

    let text = snapshot::write_comfy_pack(&lock);
    let (read, left) = snapshot::read(text.as_bytes()).unwrap();
    assert_eq!(left, snapshot::LeftOut::default());
    assert_eq!((&read.comfyui, &read.python, &read.models), (&lock.comfyui, &lock.python, &lock.models));
    let mut packs = read.packs;
    packs.sort_by_key(|pack| pack.id.to_lowercase());
    assert_eq!(packs, lock.packs[..2], "what has no pin is not in it");
}

#[test]
fn snapshots_of_others_are_read_as_far_as_they_go() {
    let text = json!({
        "comfyui": null,
        "git_custom_nodes": {
            "https://github.com/o/on.git": {"hash": "89abcdef0123456789abcdef0123456789abcdef", "disabled": false},
            "https://github.com/o/off": {"hash": "89abcdef0123456789abcdef0123456789abcdef", "disabled": true},
        },
        "cnr_custom_nodes": {"x": "1.0.0"},
        "file_custom_nodes": [{"filename": "websocket_image_save.py", "disabled": false}],
        "pips": {"aiohttp==3.11.2": ""},
        "models": [
            {"filename": "models/vae/ok.safetensors", "size": 1, "sha256": HASH, "disabled": false,
             "source": {"source": "huggingface", "repo": "o/r", "commit": "abc", "path": "ok.safetensors"}},
            {"filename": "models/../../etc/passwd", "size": 1, "sha256": HASH},
            {"filename": "models/vae/nohash.safetensors", "size": 1},
        ],
    });
    let (lock, left) = snapshot::read(text.to_string().as_bytes()).unwrap();
    assert_eq!(lock.packs.iter().map(|pack| pack.id.as_str()).collect::<Vec<_>>(), ["x", "on"]);
    assert_eq!(lock.models[0].urls, ["https://huggingface.co/o/r/resolve/abc/ok.safetensors"]);
    assert_eq!(left.disabled, ["https://github.com/o/off"]);
    assert_eq!(left.files, ["websocket_image_save.py"]);
    assert_eq!(left.models, ["models/../../etc/passwd", "models/vae/nohash.safetensors"]);
    assert!(snapshot::read(b"{}").is_err() && snapshot::read(b"[").is_err());
}
