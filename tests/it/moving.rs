//! Films and sounds: how long they are, on their way in and out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    host::{Host, There},
    process::Comfyport,
};

fn part(name: [u8; 4], content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len() + 8).unwrap().to_be_bytes()[..], &name, content].concat()
}

/// A film whose header says that it is so many seconds long, and its track so large.
fn film(seconds: u32, width: u32, height: u32) -> Vec<u8> {
    let times = [1000, seconds * 1000].map(u32::to_be_bytes).concat();
    let mvhd = part(*b"mvhd", &[&[0; 12][..], &times, &[0; 80]].concat());
    let mdhd = part(*b"mdhd", &[&[0; 12][..], &times, &[0; 4]].concat());
    let hdlr = part(*b"hdlr", &[&[0; 8][..], b"vide", &[0; 12]].concat());
    let sides = [width << 16, height << 16].map(u32::to_be_bytes).concat();
    let tkhd = part(*b"tkhd", &[&[0; 76][..], &sides].concat());
    let trak = part(*b"trak", &[tkhd, part(*b"mdia", &[mdhd, hdlr].concat())].concat());
    let moov = part(*b"moov", &[mvhd, trak].concat());
    [part(*b"ftyp", b"isom\0\0\x02\0isommp41"), moov, part(*b"mdat", &[0; 64])].concat()
}

/// Silence of 100 samples a second.
fn sound(seconds: u32) -> Vec<u8> {
    let chunk = |name: [u8; 4], content: &[u8]| {
        [&name[..], &u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
    };
    let form =
        [&1_u16.to_le_bytes()[..], &1_u16.to_le_bytes(), &[100, 0, 0, 0, 100, 0, 0, 0, 1, 0, 8, 0]].concat();
    let data = vec![0; seconds as usize * 100];
    let body = [b"WAVE".to_vec(), chunk(*b"fmt ", &form), chunk(*b"data", &data)].concat();
    chunk(*b"RIFF", &body)
}

/// Takes a film and gives it back.
fn cut() -> Value {
    json!({
        "1": {"class_type": "LoadVideo", "inputs": {"file": "a.mp4"}},
        "2": {"class_type": "SaveVideo",
              "inputs": {"video": ["1", 0], "filename_prefix": "x", "format": "auto", "codec": "auto"}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_too_long_is_refused_wherever_it_comes_from() {
    let host = Host::new(&[
        ("/good.mp4", There::File(film(60, 640, 360))),
        ("/long.mp4", There::File(film(61, 640, 360))),
        ("/wide.mp4", There::File(film(1, 20_000, 20_000))),
    ])
    .await;
    let workflows = tempfile::tempdir().unwrap();
    std::fs::write(workflows.path().join("cut.json"), cut().to_string()).unwrap();
    let allow = json!([format!("127.0.0.1:{}", host.port)]).to_string();
    let server = Comfyport::simulated_with(&[
        ("COMFYPORT_FETCH_ALLOW", allow.as_str()),
        ("COMFYPORT_WORKFLOWS_DIR", workflows.path().to_str().unwrap()),
        ("COMFYPORT_MEDIA_MAX_DURATION_S", "60"),
    ]);
    server.call("/cut", &json!({"video": host.url("/good.mp4")}), 200).await;
    for (path, said) in [("/long.mp4", "it lasts 61 seconds; at most 60"), ("/wide.mp4", "20000 × 20000")] {
        let refused = server.call("/cut", &json!({"video": host.url(path)}), 422).await;
        assert_eq!(
            (&refused["code"], &refused["errors"][0]["param"]),
            (&json!("invalid_request"), &json!("video"))
        );
        assert!(refused["detail"].as_str().unwrap().contains(said), "{refused}");
    }
    let inline = |data: &[u8]| json!({"video": {"base64": STANDARD.encode(data)}});
    server.call("/cut", &inline(&film(60, 8, 8)), 200).await;
    let refused = server.call("/cut", &inline(&film(61, 8, 8)), 422).await;
    assert!(refused["detail"].as_str().unwrap().contains("it lasts 61 seconds"), "{refused}");
    let upload = async |data: Vec<u8>, expected: u16| -> Value {
        server.expect(server.post("/uploads").body(data), expected).await.json()
    };
    let kept = upload(film(60, 640, 360), 201).await;
    assert_eq!((&kept["width"], &kept["height"]), (&json!(640), &json!(360)));
    server.call("/cut", &json!({"video": kept["reference"]}), 200).await;
    upload(sound(60), 201).await;
    for long in [film(61, 640, 360), sound(61)] {
        let refused = upload(long, 422).await;
        assert!(refused["detail"].as_str().unwrap().contains("it lasts 61 seconds; at most 60"), "{refused}");
    }
    // What says nothing of its length is bounded by its size alone.
    upload([part(*b"ftyp", b"isom\0\0\x02\0isommp41"), part(*b"mdat", &[0; 64])].concat(), 201).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_film_of_the_example_is_one() {
    let workflows = tempfile::tempdir().unwrap();
    std::fs::write(workflows.path().join("cut.json"), cut().to_string()).unwrap();
    let server =
        Comfyport::simulated_with(&[("COMFYPORT_WORKFLOWS_DIR", workflows.path().to_str().unwrap())]);
    let document = server.read("/openapi.json", 200).await.json();
    let body = &document["paths"]["/cut"]["post"]["requestBody"]["content"]["application/json"];
    let example = &body["examples"]["minimal"]["value"];
    server.call("/cut", example, 200).await;
    let text = example["video"].as_str().unwrap().split_once(',').unwrap().1;
    let uploaded = server.expect(server.post("/uploads").body(STANDARD.decode(text).unwrap()), 201).await;
    let uploaded = uploaded.json();
    assert_eq!(
        (&uploaded["content_type"], &uploaded["width"], &uploaded["height"]),
        (&json!("video/mp4"), &json!(64), &json!(64)),
        "{uploaded}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn results_say_how_long_they_last() {
    let server = Comfyport::simulated();
    let result = server.call("/wan/txt2video", &json!({"prompt": "waves"}), 200).await;
    let film = &result["outputs"]["video"][0];
    for (name, least) in [("duration_s", 0.1), ("fps", 1.0), ("width", 8.0), ("height", 8.0)] {
        assert!(film[name].as_f64().is_some_and(|number| number >= least), "{name}: {film}");
    }
    let frames = film["duration_s"].as_f64().unwrap() * film["fps"].as_f64().unwrap();
    assert!((frames - frames.round()).abs() < 0.05, "{film}");
    let job = server.read(&format!("/jobs/{}", result["id"].as_str().unwrap()), 200).await.json();
    assert_eq!(job["outputs"]["video"][0]["duration_s"], film["duration_s"]);
    // Pictures do not last.
    let picture = server
        .call("/sd15/txt2img", &json!({"prompt": "x", "steps": 1, "width": 64, "height": 64}), 200)
        .await;
    assert!(picture["outputs"]["image"][0].get("duration_s").is_none());
}
