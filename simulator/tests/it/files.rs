//! Uploads, views, and files of every kind.

use comfyport_simulator::{Options, Simulator};
use serde_json::{Value, json};

use crate::client::{finished, get, post, request, upload};

fn picture() -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 90]));
    pixels.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

/// Runs a prompt and fetches the first file of a node.
async fn made(simulator: &Simulator, prompt: &Value, node: &str, key: &str) -> (Vec<u8>, String) {
    let answer = post(simulator.addr(), "/prompt", &json!({"prompt": prompt})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let entry = finished(simulator.addr(), answer.json()["prompt_id"].as_str().unwrap()).await;
    let file = &entry["outputs"][node][key][0];
    let part = |key: &str| file[key].as_str().unwrap_or_else(|| panic!("{entry}")).to_owned();
    let path =
        format!("/view?filename={}&subfolder={}&type={}", part("filename"), part("subfolder"), part("type"));
    let answer = get(simulator.addr(), &path).await;
    assert_eq!(answer.status, 200);
    (answer.body, part("filename"))
}

#[tokio::test]
async fn an_uploaded_picture_is_resized() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let named = upload(simulator.addr(), "in.png", &picture(), "").await;
    assert_eq!(named.text(), r#"{"name": "in.png", "subfolder": "", "type": "input"}"#);
    for (method, crop) in [("lanczos", "disabled"), ("area", "center"), ("nearest-exact", "disabled")] {
        let prompt = json!({
            "1": {"class_type": "LoadImage", "inputs": {"image": "in.png"}},
            "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], "upscale_method": method, "width": 24,
                "height": 0, "crop": crop}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "a/b"}},
        });
        let (file, _) = made(&simulator, &prompt, "3", "images").await;
        let read = image::load_from_memory(&file).unwrap().to_rgb8();
        assert_eq!((read.width(), read.height()), (24, 16));
        assert!(read.get_pixel(20, 8).0[0].abs_diff(202) < 6, "{:?}", read.get_pixel(20, 8));
    }
    simulator.stop().await;
}

#[tokio::test]
async fn uploads_of_one_name_do_not_overwrite() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let name =
        async |data: &[u8], more| upload(simulator.addr(), "x.png", data, more).await.json()["name"].clone();
    assert_eq!(name(b"a", "").await, "x.png");
    assert_eq!(name(b"a", "").await, "x.png");
    assert_eq!(name(b"b", "").await, "x (1).png");
    let overwrite = "--b\r\nContent-Disposition: form-data; name=\"overwrite\"\r\n\r\ntrue\r\n";
    assert_eq!(name(b"b", overwrite).await, "x.png");
    let photo = vec![7; 10_000_000];
    assert_eq!(upload(simulator.addr(), "photo.png", &photo, "").await.status, 200);
    let outside = "--b\r\nContent-Disposition: form-data; name=\"subfolder\"\r\n\r\n../x\r\n";
    assert_eq!(upload(simulator.addr(), "x.png", b"b", outside).await.status, 400);
    simulator.stop().await;
}

#[tokio::test]
async fn views_know_parts_and_versions() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let addr = simulator.addr();
    upload(addr, "x.html", b"0123456789", "").await;
    let path = "/api/view?filename=x.html&type=input";
    let whole = get(addr, path).await;
    assert!(whole.head.contains("content-type: application/octet-stream"), "{}", whole.head);
    let tag = whole.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    assert_eq!(request(addr, "GET", path, &format!("If-None-Match: {tag}\r\n"), b"").await.status, 304);
    let part = request(addr, "GET", path, "Range: bytes=2-4\r\n", b"").await;
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(request(addr, "GET", path, "Range: bytes=20-\r\n", b"").await.status, 416);
    for (query, status) in [
        ("filename=x.html", 404),
        ("filename=x.html&type=bogus", 400),
        ("filename=../x.html&type=input", 400),
        ("filename=x.html&type=input&subfolder=..", 403),
        ("filename=x.html&type=input&subfolder=../in", 200),
        ("type=input", 404),
        ("filename=&type=input", 400),
        ("filename=x.html%20[input]", 200),
    ] {
        assert_eq!(get(addr, &format!("/view?{query}")).await.status, status, "{query}");
    }
    simulator.stop().await;
}

#[tokio::test]
async fn other_outputs_have_their_formats() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let sound = |class: &str| {
        json!({
            "1": {"class_type": "EmptyAceStepLatentAudio", "inputs": {"seconds": 1.0, "batch_size": 1}},
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "any.safetensors"}},
            "2": {"class_type": "VAEDecodeAudio", "inputs": {"samples": ["1", 0], "vae": ["4", 2]}},
            "3": {"class_type": class, "inputs": {"audio": ["2", 0], "filename_prefix": "audio/x", "quality": "128k"}},
        })
    };
    for (class, magic, ending) in [
        ("SaveAudio", &b"fLaC"[..], "flac"),
        ("SaveAudioMP3", &b"\xff\xfb"[..], "mp3"),
        ("SaveAudioOpus", &b"OggS"[..], "opus"),
    ] {
        let (file, name) = made(&simulator, &sound(class), "3", "audio").await;
        assert!(file.starts_with(magic) && name.ends_with(ending), "{name}");
    }
    let video = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 20, "color": 5}},
        "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 24.0}},
        "3": {"class_type": "SaveVideo", "inputs": {"video": ["2", 0], "filename_prefix": "v", "format": "auto", "codec": "auto"}},
    });
    let (file, name) = made(&simulator, &video, "3", "images").await;
    assert!(&file[4..8] == b"ftyp" && name == "v_00001_.mp4", "{name}");
    simulator.stop().await;
}
