//! Every bundled workflow answers through the simulator, with the parameters and outputs a person would expect.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::process::Comfyport;

/// A bundled workflow: a request with exactly what it requires, and the outputs it must answer with.
struct Case {
    path: &'static str,
    request: Value,
    outputs: &'static [(&'static str, &'static str)],
}

fn picture() -> String {
    let mut png = std::io::Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 90]));
    pixels.write_to(&mut png, image::ImageFormat::Png).unwrap();
    format!("data:image/png;base64,{}", base64(png.get_ref()))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

fn cases() -> Vec<Case> {
    let case = |path, request, outputs| Case { path, request, outputs };
    let image = picture();
    vec![
        case("audio/ace_step", json!({"tags": "lo-fi", "lyrics": "[verse] rain"}), &[("audio", "audio/")]),
        case(
            "conjure/generate_flux_mesh",
            json!({"prompt": "an owl", "inputimage": image}),
            &[("export_image", "image/png"), ("exportglb", "model/gltf-binary")],
        ),
        case(
            "flux/flux_depth",
            json!({"prompt": "a cottage", "depth_map": image}),
            &[("image", "image/png")],
        ),
        case("flux/txt2img", json!({"prompt": "a greenhouse"}), &[("image", "image/png")]),
        case("image/resize", json!({"image": image, "width": 20, "height": 10}), &[("image", "image/png")]),
        case("mesh/hunyuan3d", json!({"image": image}), &[("mesh", "model/gltf-binary")]),
        case("qwen/qwen_base_txt2img", json!({"prompt": "a neon sign"}), &[("image", "image/png")]),
        case("qwen/qwen_img_edit", json!({"prompt": "stormy", "image": image}), &[("image", "image/png")]),
        case("sd15/img2img", json!({"prompt": "a watercolor", "image": image}), &[("image", "image/png")]),
        case(
            "sd15/inpaint",
            json!({"prompt": "a door", "image": image, "mask": image}),
            &[("image", "image/png")],
        ),
        case("sd15/txt2img", json!({"prompt": "a lighthouse"}), &[("image", "image/png")]),
        case("sdxl/txt2img_refiner", json!({"prompt": "a fox"}), &[("image", "image/png")]),
        case("wan/txt2video", json!({"prompt": "a paper boat"}), &[("video", "video/mp4")]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answers_with_its_outputs() {
    let server = Comfyport::simulated();
    let listed = server.read("/workflows", 200).await.json();
    let listed: BTreeSet<String> = listed["workflows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].as_str().unwrap().to_owned())
        .collect();
    let known: BTreeSet<String> = cases().iter().map(|case| case.path.to_owned()).collect();
    assert_eq!(listed, known, "every bundled workflow has a case here");

    for case in cases() {
        let result = server.call(&format!("/{}", case.path), &case.request, 200).await;
        assert_eq!(result["status"], "succeeded", "{}: {result}", case.path);
        let outputs = result["outputs"].as_object().unwrap();
        let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
        let expected: Vec<&str> = case.outputs.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, expected, "{}", case.path);
        for (name, content_type) in case.outputs {
            check_artifact(&server, case.path, &outputs[*name][0], content_type).await;
        }
    }
}

async fn check_artifact(server: &Comfyport, path: &str, artifact: &Value, content_type: &str) {
    assert!(artifact["content_type"].as_str().unwrap().starts_with(content_type), "{path}: {artifact}");
    let url = artifact["url"].as_str().unwrap();
    let answer = server.read(url.strip_prefix(server.url()).unwrap_or(url), 200).await;
    assert_eq!(answer.header("content-type"), artifact["content_type"], "{path}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.body.len() as u64, artifact["size"].as_u64().unwrap(), "{path}");
    if content_type == "image/png" {
        let picture = image::load_from_memory(&answer.body).unwrap();
        assert_eq!(u64::from(picture.width()), artifact["width"].as_u64().unwrap(), "{path}");
        assert_eq!(u64::from(picture.height()), artifact["height"].as_u64().unwrap(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_the_ones_a_person_would_expect() {
    let server = Comfyport::simulated();
    for case in cases() {
        let description = server.read(&format!("/{}", case.path), 200).await.json();
        let schema = &description["request_schema"];
        let properties =
            schema["properties"].as_object().unwrap_or_else(|| panic!("{}: {description}", case.path));
        for name in case.request.as_object().unwrap().keys() {
            assert!(properties.contains_key(name), "{}: no parameter `{name}`", case.path);
        }
        for name in properties.keys() {
            let ordinal = name.rsplit_once('_').is_some_and(|(_, tail)| tail.parse::<u32>().is_ok());
            assert!(!ordinal, "{}: `{name}` has an ordinal suffix", case.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resize_does_what_it_says() {
    let server = Comfyport::simulated();
    let request = json!({"image": picture(), "width": 20, "height": 10});
    let answer = server.post("/image/resize").header("accept", "image/png").body(request.to_string());
    let answer = server.expect(answer, 200).await;
    let resized = image::load_from_memory(&answer.body).unwrap();
    assert_eq!((resized.width(), resized.height()), (20, 10));
    assert_eq!(answer.header("x-comfyport-engine"), "simulator");
}
