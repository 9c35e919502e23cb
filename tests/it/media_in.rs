//! Files that come in: by address, and uploaded before.

use std::{io::Write as _, path::Path, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::StreamExt;
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::{
    containers::{png_chunk, riff},
    host::{Host, There},
    postgres,
    process::{Comfyport, command},
};

const RESIZE: &str = "/image/resize";

/// A grey picture of one colour for each number.
fn picture(number: u8) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let pixels = image::GrayImage::from_pixel(8, 6, image::Luma([number]));
    pixels.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

/// A picture whose header says that it is this large, and little more.
fn huge(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let parts = [png_chunk(b"IHDR", &header), png_chunk(b"IDAT", &[0; 9]), png_chunk(b"IEND", &[])];
    [b"\x89PNG\r\n\x1a\n".to_vec(), parts.concat()].concat()
}

/// The beginning of a film, with its boxes up to this size.
fn film(size: u64) -> Vec<u8> {
    let ftyp = b"\0\0\0\x18ftypisom\0\0\x02\0isommp41";
    let rest = size - ftyp.len() as u64;
    [&ftyp[..], &1_u32.to_be_bytes(), b"mdat", &rest.to_be_bytes()].concat()
}

fn allowing(host: &Host) -> (&'static str, String) {
    ("COMFYPORT_FETCH_ALLOW", json!([format!("127.0.0.1:{}", host.port)]).to_string())
}

/// A server that may ask one host of this machine, and no other.
fn server(host: &Host, settings: &[(&str, &str)]) -> Comfyport {
    let (name, value) = allowing(host);
    Comfyport::simulated_with(&[&[(name, value.as_str())][..], settings].concat())
}

async fn host_of_pictures() -> Host {
    let zip = b"PK\x03\x04\x14\0\0\0".to_vec();
    let animated =
        riff(&[(b"VP8X", &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]), (b"ANMF", &[0; 20]), (b"ANMF", &[0; 20])]);
    Host::new(&[
        ("/a.png", There::File(picture(1))),
        ("/b.png", There::File(picture(2))),
        ("/svg.png", There::File(b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec())),
        ("/html.png", There::File(b"<!doctype html><html><script>1</script>".to_vec())),
        ("/zip.png", There::File(zip)),
        ("/heic.png", There::File(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec())),
        ("/avif.png", There::File(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif".to_vec())),
        ("/empty.png", There::File(Vec::new())),
        ("/cut.png", There::File(picture(1)[..40].to_vec())),
        ("/bomb.png", There::File(huge(13_000, 13_000))),
        ("/wide.png", There::File(huge(65_536, 1))),
        ("/moves.png", There::File(animated)),
        ("/long.png", There::Long(picture(1), 1 << 30)),
        ("/film.png", There::File(film(100))),
        ("/ill.png", There::Status(503)),
        ("/closed.png", There::Status(403)),
        ("/packed.png", There::With(200, "content-encoding", "gzip".to_owned())),
        ("/part.png", There::With(206, "content-range", "bytes 0-1/9".to_owned())),
        ("/loop.png", There::With(302, "location", "/loop.png".to_owned())),
        ("/inner.png", There::With(302, "location", "http://169.254.169.254/latest/".to_owned())),
        ("/file.png", There::With(302, "location", "file:///etc/passwd".to_owned())),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_fetched_from_its_address() {
    let host = host_of_pictures().await;
    let server = server(&host, &[]);
    let signed = host.url("/a.png?signature=sesame");
    for image in [json!(signed), json!({"url": signed}), json!({"url": format!("{signed}#part")})] {
        let done = server.call(RESIZE, &json!({"image": image}), 200).await;
        assert_eq!(done["params"]["image"]["size"], picture(1).len(), "{done}");
        assert_eq!(host.connects(), 1);
        assert!(!done.to_string().contains("sesame"));
    }
    let form = Form::new().text("image", signed);
    server.expect(server.post(RESIZE).multipart(form), 200).await;
    assert_eq!(host.connects(), 1);
    assert!(!server.log().contains("sesame"), "{}", server.log());
    assert!(host.heads().iter().all(|head| !head.contains("cookie") && !head.contains("referer")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_is_said_under_its_parameter() {
    let host = host_of_pictures().await;
    let server = server(&host, &[("COMFYPORT_MEDIA_MAX_PICTURE_BYTES", "1000000")]);
    for (path, status, code, words) in [
        ("/svg.png", 415, "unsupported_media", "an SVG drawing"),
        ("/html.png", 415, "unsupported_media", "an HTML page"),
        ("/zip.png", 415, "unsupported_media", "a zip archive"),
        ("/film.png", 415, "unsupported_media", "a film"),
        (
            "/heic.png",
            415,
            "unsupported_media",
            "a HEIC picture, which engines cannot open; send it as PNG or JPEG",
        ),
        (
            "/avif.png",
            415,
            "unsupported_media",
            "an AVIF picture, which engines cannot open; send it as PNG or JPEG",
        ),
        ("/empty.png", 422, "invalid_request", "empty"),
        ("/cut.png", 422, "invalid_request", "cut short"),
        ("/bomb.png", 422, "invalid_request", "13000 × 13000"),
        ("/wide.png", 422, "invalid_request", "65535"),
        ("/moves.png", 422, "invalid_request", "animated"),
        ("/long.png", 413, "too_large", "larger than 1000000 bytes"),
        ("/none.png", 422, "input_url_failed", "status 404"),
        ("/closed.png", 422, "input_url_failed", "a signed address"),
        ("/packed.png", 422, "input_url_failed", "Content-Encoding"),
        ("/part.png", 422, "input_url_failed", "a part"),
        ("/loop.png", 422, "input_url_failed", "more than 3 times"),
        ("/ill.png", 502, "input_url_unreachable", "try again later"),
        ("/inner.png", 422, "input_url_forbidden", "public"),
        ("/file.png", 422, "input_url_forbidden", "http and https"),
    ] {
        let problem = server.call(RESIZE, &json!({"image": host.url(path)}), status).await;
        assert_eq!(problem["code"], code, "{path}: {problem}");
        assert_eq!(problem["retryable"], status == 502);
        let error = &problem["errors"][0];
        assert_eq!((&error["pointer"], &error["param"]), (&json!("/image"), &json!("image")));
        assert!(error["message"].as_str().unwrap().contains(words), "{path}: {problem}");
        assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    }
    let jobs = server.read("/jobs", 200).await.json();
    assert_eq!(jobs["jobs"], json!([]), "nothing was queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_all_files_come_together() {
    let host = host_of_pictures().await;
    let inner = Host::new(&[("/a.png", There::File(picture(1)))]).await;
    let server = server(&host, &[]);
    let ask = async |image: Value, mask: Value, status: u16| {
        server.call("/sd15/inpaint", &json!({"prompt": "x", "image": image, "mask": mask}), status).await
    };
    let pointers = |problem: &Value| -> Vec<String> {
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    };
    let missing = format!("upload:{}", uuid::Uuid::new_v4());
    let problem = ask(json!(inner.url("/a.png")), json!(host.url("/none.png")), 422).await;
    assert_eq!(pointers(&problem), ["/image", "/mask"]);
    assert_eq!(problem["code"], "input_url_forbidden");
    let problem = ask(json!(host.url("/ill.png")), json!(host.url("/none.png")), 422).await;
    assert_eq!(problem["code"], "input_url_failed");
    let problem = ask(json!(host.url("/ill.png")), json!(missing), 422).await;
    assert_eq!((&problem["code"], pointers(&problem).len()), (&json!("invalid_request"), 2));
    assert_eq!(host.connects(), 4);
    // Where something is wrong anyway nobody is asked for a file, and what can be said of addresses is said.
    let request = json!({"image": inner.url("/a.png"), "mask": host.url("/a.png"), "steps": 0});
    let problem = server.call("/sd15/inpaint", &request, 422).await;
    assert_eq!((host.connects(), inner.connects()), (0, 0));
    let mut found = pointers(&problem);
    found.sort_unstable();
    assert_eq!(found, ["/image", "/prompt", "/steps"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_asked_once_for_a_request_and_once_for_a_batch() {
    let host = host_of_pictures().await;
    let server = server(&host, &[]);
    let (a, b) = (host.url("/a.png"), host.url("/b.png"));
    let request = json!({"prompt": "x", "image": a, "mask": {"url": a}, "steps": 1});
    server.call("/sd15/inpaint", &request, 200).await;
    assert_eq!(host.connects(), 1);
    let batch = json!({"items": [{"image": a}, {"image": b}, {"image": a}, {"image": b}, {"image": a}]});
    server.call("/image/resize:batch", &batch, 202).await;
    assert_eq!(host.connects(), 2);
    let batch =
        json!({"items": [{"image": a}, {"image": host.url("/none.png")}, {"image": "http://10.0.0.1/"}]});
    let problem = server.call("/image/resize:batch", &batch, 422).await;
    assert_eq!(problem["errors"][0]["pointer"], "/items/1/image", "{problem}");
    assert_eq!(problem["errors"][1]["pointer"], "/items/2/image", "{problem}");
    assert_eq!(problem["code"], "input_url_forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_fetches_only_where_it_is_asked_to() {
    let host = host_of_pictures().await;
    let server = server(&host, &[]);
    let check = async |path: &str, query: &str, status: u16| {
        server.call(&format!("{RESIZE}:check{query}"), &json!({"image": host.url(path)}), status).await
    };
    assert_eq!(check("/a.png", "", 200).await["ready"], true);
    check("/svg.png", "", 200).await;
    server.call(&format!("{RESIZE}:check"), &json!({"image": "http://127.0.0.1/"}), 422).await;
    assert_eq!(host.connects(), 0);
    check("/a.png", "?fetch=true", 200).await;
    check("/svg.png", "?fetch=true", 415).await;
    assert_eq!(host.connects(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_turn_fetching_off_and_tell_hosts_who_asks() {
    let host = host_of_pictures().await;
    let off = server(&host, &[("COMFYPORT_FETCH_ENABLED", "false")]);
    let problem = off.call(RESIZE, &json!({"image": host.url("/a.png")}), 422).await;
    assert_eq!((&problem["code"], host.connects()), (&json!("input_url_unsupported"), 0));
    let place = host.url("/*");
    let credentials = format!("[{{ url = {place:?}, headers = {{ x-key = \"sesame\" }} }}]");
    // Proxies of the environment are for others.
    let proxy = Host::new(&[("/a.png", There::File(picture(3)))]).await;
    let proxied = proxy.url("");
    let server = server(
        &host,
        &[
            ("COMFYPORT_FETCH_CREDENTIALS", credentials.as_str()),
            ("http_proxy", proxied.as_str()),
            ("ALL_PROXY", proxied.as_str()),
        ],
    );
    let done = server.call(RESIZE, &json!({"image": host.url("/a.png")}), 200).await;
    assert!(host.heads().last().unwrap().contains("x-key: sesame"), "{:?}", host.heads());
    assert!(!done.to_string().contains("sesame") && !server.log().contains("sesame"));
    assert_eq!(proxy.connects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_fetches_nothing_again_and_addresses_are_not_kept() {
    let host = host_of_pictures().await;
    let data = tempfile::tempdir().unwrap();
    let (name, value) = allowing(&host);
    let settings = [(name, value.as_str())];
    let engine = Comfyport::simulator();
    let port = engine.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let address = engine.url().to_owned();
    drop(engine);
    let server = Comfyport::lasting(&address, data.path(), &settings);
    let request = server.post(RESIZE).header("prefer", "respond-async");
    let body = json!({"image": host.url("/a.png?signature=sesame")}).to_string();
    let job = server.expect(request.body(body), 202).await.json();
    assert_eq!(host.connects(), 1);
    drop(server);
    let mut found = 0;
    for file in files_below(data.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"sesame"), "{}", file.display());
        found += 1;
    }
    assert!(found > 1, "there is a database and a picture");
    let _engine = Comfyport::simulator_at(port);
    let server = Comfyport::lasting(&address, data.path(), &settings);
    let path = format!("/jobs/{}", job["id"].as_str().unwrap());
    let done = ended(&server, &path).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert_eq!(host.connects(), 0);
}

async fn ended(server: &Comfyport, path: &str) -> Value {
    for _ in 0..1500 {
        let job = server.read(path, 200).await.json();
        if !matches!(job["status"].as_str().unwrap(), "queued" | "running") {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{}", server.log());
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

async fn upload(server: &Comfyport, data: Vec<u8>, key: &str, status: u16) -> Value {
    server.expect(server.post("/uploads").header("x-api-key", key).body(data), status).await.json()
}

/// Keys of two callers.
fn keys(data: &Path) -> [String; 2] {
    ["ann", "bob"].map(|name| {
        let arguments = ["keys", "create", name, "--simulate", "--data-dir", data.to_str().unwrap()];
        let made = command(&arguments).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_referred_to_by_its_owner() {
    let data = tempfile::tempdir().unwrap();
    let [ann, bob] = keys(data.path());
    let (ann, bob) = (ann.as_str(), bob.as_str());
    let server = Comfyport::simulated_in(data.path(), &[]);
    let made = upload(&server, picture(1), ann, 201).await;
    assert_eq!(
        (&made["content_type"], &made["width"], &made["height"]),
        (&json!("image/png"), &json!(8), &json!(6))
    );
    assert_eq!(made["size"], picture(1).len());
    assert_eq!(made["sha256"].as_str().unwrap().len(), 64);
    let (id, reference) = (made["id"].as_str().unwrap(), made["reference"].as_str().unwrap());
    assert_eq!(reference, format!("upload:{id}"));
    let run = async |image: Value, key: &str, status: u16| {
        let request = server.post(RESIZE).header("x-api-key", key).body(json!({"image": image}).to_string());
        server.expect(request, status).await.json()
    };
    for image in [json!(reference), json!({"upload": id})] {
        let done = run(image, ann, 200).await;
        assert_eq!(done["params"]["image"]["size"], picture(1).len());
    }
    // To anybody else it is as one that never was, and names of files of ours are no references.
    let unknown = json!(format!("upload:{}", uuid::Uuid::new_v4()));
    let content = json!(format!("upload:{}.png", made["sha256"].as_str().unwrap()));
    let mut said = Vec::new();
    for (image, key) in [(json!(reference), bob), (unknown, ann), (content, ann), (json!("upload:../x"), ann)]
    {
        said.push(run(image, key, 422).await["errors"].clone());
    }
    assert!(said.iter().all(|errors| errors == &said[0]), "{said:?}");
    let path = format!("/uploads/{id}");
    let as_bob = async |request: reqwest::RequestBuilder| {
        server.expect(request.header("x-api-key", bob), 404).await.json()["detail"].clone()
    };
    let nothing = server.get("/uploads/nothing");
    assert_eq!(as_bob(server.get(&path)).await, as_bob(nothing).await);
    assert_eq!(as_bob(server.delete(&path)).await, as_bob(server.get(&path)).await);
    let shown = server.expect(server.get(&path).header("x-api-key", ann), 200).await.json();
    assert_eq!(shown, made);
    // The same content is the same upload to its owner, and another to another.
    let part = Part::bytes(picture(1)).file_name("../../etc/x.sh").mime_str("text/x-sh").unwrap();
    let form = Form::new().part("file", part);
    let again = server.post("/uploads").header("x-api-key", ann).multipart(form);
    let again = server.expect(again, 200).await.json();
    assert_eq!((&again["id"], &again["content_type"]), (&made["id"], &json!("image/png")));
    assert_ne!(upload(&server, picture(1), bob, 201).await["id"], made["id"]);
    let delete = || server.delete(&path).header("x-api-key", ann);
    server.expect(delete(), 204).await;
    server.expect(delete(), 404).await;
    run(json!(reference), ann, 422).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_bounded_and_expire() {
    let settings = [
        ("COMFYPORT_SERVER_MAX_BODY_BYTES", "10000"),
        ("COMFYPORT_SERVER_BODY_TIMEOUT_S", "2"),
        ("COMFYPORT_UPLOADS_MAX_FILES", "2"),
        ("COMFYPORT_UPLOADS_MAX_BYTES", "4000000"),
        ("COMFYPORT_UPLOADS_KEEP_S", "2"),
        ("COMFYPORT_MEDIA_MAX_PICTURE_BYTES", "1000000"),
        ("COMFYPORT_MEDIA_MAX_VIDEO_BYTES", "5000000"),
    ];
    let data = tempfile::tempdir().unwrap();
    let [ann, bob] = keys(data.path());
    let (ann, bob) = (ann.as_str(), bob.as_str());
    let server = Comfyport::simulated_in(data.path(), &settings);
    // Larger than any other body may be.
    let of = |size: u64| {
        let mut data = film(size);
        data.resize(size.try_into().unwrap(), 0);
        data
    };
    let made = upload(&server, of(3_000_000), ann, 201).await;
    assert_eq!((&made["size"], &made["content_type"]), (&json!(3_000_000), &json!("video/mp4")));
    assert_eq!(upload(&server, of(1_000_001), ann, 429).await["code"], "upload_limit");
    upload(&server, of(1_000_000), bob, 201).await;
    let large = [picture(1), vec![0; 1_000_000]].concat();
    assert_eq!(upload(&server, large, ann, 413).await["code"], "too_large");
    assert_eq!(upload(&server, of(5_000_001), ann, 413).await["code"], "too_large");
    // Without saying beforehand how much there will be.
    let mut part = film(1 << 40);
    part.resize(1 << 16, 0);
    let endless = futures_util::stream::repeat(part).map(Ok::<_, std::io::Error>);
    let endless = server
        .post("/uploads")
        .header("x-api-key", ann)
        .body(reqwest::Body::wrap_stream(endless.take(1 << 10)));
    if let Ok(answer) = endless.send().await {
        assert_eq!(answer.status(), 413);
    }
    for (data, code) in [
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec(), "unsupported_media"),
        (b"<html><script>1</script>".to_vec(), "unsupported_media"),
        (b"PK\x03\x04".to_vec(), "unsupported_media"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec(), "unsupported_media"),
        (b"just words".to_vec(), "unsupported_media"),
    ] {
        assert_eq!(upload(&server, data, ann, 415).await["code"], code);
    }
    assert!(upload(&server, Vec::new(), ann, 422).await["detail"].as_str().unwrap().contains("empty"));
    assert!(
        upload(&server, huge(13_000, 13_000), ann, 422).await["detail"].as_str().unwrap().contains("13000")
    );
    // Too slow.
    let slow = futures_util::stream::unfold(0, |count| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok::<_, std::io::Error>(vec![0; 10]), count + 1))
    });
    let slow = server.post("/uploads").header("x-api-key", ann).body(reqwest::Body::wrap_stream(slow));
    assert_eq!(server.expect(slow, 408).await.json()["code"], "slow_request");
    let path = format!("/uploads/{}", made["id"].as_str().unwrap());
    let mut gone = false;
    for _ in 0..500 {
        let shown = server.get(&path).header("x-api-key", ann).send().await.unwrap();
        gone = shown.status() == 404;
        if gone {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_callers_become_no_names_of_ours() {
    let data = tempfile::tempdir().unwrap();
    let inside = data.path().join("data");
    let server = Comfyport::simulated_in(&inside, &[]);
    let long = "a".repeat(255);
    let names = [
        "../x.png",
        "../../x.png",
        "..\\x.png",
        "/etc/x.png",
        "C:\\x.png",
        "C:x.png",
        "\\\\host\\x.png",
        "x\0.png",
        "x.png\0.sh",
        "..",
        ".",
        "",
        " ",
        "-rf",
        "~/x.png",
        "$HOME/x.png",
        "`id`.png",
        "x;id.png",
        "%2e%2e%2fx.png",
        "..%2fx.png",
        "․․/x.png",
        "．．/x.png",
        "‥/x.png",
        "x\u{202e}gnp.png",
        "CON",
        "con.png",
        "NUL",
        "AUX.png",
        "COM1",
        "LPT1.png",
        "x.png.",
        "x.png ",
        ".htaccess",
        "x.png [output]",
        "x.php",
        "x.png/y",
        "x\ny.png",
        "x\ry.png",
        "\"x\".png",
        "'x'.png",
        "x:y.png",
        "x|y.png",
        "x<y>.png",
        "x*.png",
        "x?.png",
        "é.png",
        "👾.png",
        "file:///etc/passwd",
        "http://127.0.0.1/x.png",
        long.as_str(),
    ];
    assert_eq!(names.len(), 50);
    let mut taken = 0;
    for (number, name) in (0_u8..).zip(names) {
        // As raw as possible: a header must not break, whatever is in it.
        let plain = name.replace(['\r', '\n', '"', '\0'], "_");
        let body = [
            format!("--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{plain}\"\r\n")
                .as_bytes(),
            b"Content-Type: image/png\r\n\r\n",
            &picture(number),
            b"\r\n--b--\r\n",
        ]
        .concat();
        let typed = |path: &str, body: Vec<u8>| {
            server.post(path).header("content-type", "multipart/form-data; boundary=b").body(body)
        };
        server.expect(typed(RESIZE, body.clone()), 200).await;
        let mut body = body;
        let at = body.windows(12).position(|window| window == b"name=\"image\"").unwrap();
        body.splice(at..at + 12, b"name=\"file\"".iter().copied());
        server.expect(typed("/uploads", body), 201).await;
        taken += 1;
        let json = json!({"image": {"base64": "iVBORw0KGgo=", "filename": name}});
        server.call(RESIZE, &json, 422).await;
    }
    let all = files_below(data.path());
    let outside = all.iter().filter(|path| !path.starts_with(&inside)).count();
    let foreign = all.iter().filter(|path| path.to_string_lossy().contains("x.")).count();
    println!("{outside} files outside of the data directory after {taken} names");
    assert_eq!((outside, foreign), (0, 0));
    assert!(!Path::new("/etc/x.png").exists());
    let twice = ["--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\u{89}PNG\r\n";
        2]
        .concat();
    let typed = server.post("/uploads").header("content-type", "multipart/form-data; boundary=b");
    server.expect(typed.body(format!("{twice}--b--\r\n")), 422).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_for_a_request_is_refused_and_not_held() {
    let server = Comfyport::simulated();
    server.call("/sd15/txt2img", &json!({"prompt": "x", "steps": 1}), 200).await;
    let before = server.memory();
    let body = format!("{{\"image\": \"data:image/png;base64,{}\"}}", "A".repeat(100_000_000));
    for declared in [true, false] {
        let body = if declared {
            reqwest::Body::from(body.clone())
        } else {
            let pieces: Vec<_> = body
                .as_bytes()
                .chunks(1 << 20)
                .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
                .collect();
            reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
        };
        // Whoever is refused before the end may not be able to read why.
        if let Ok(answer) = server.post(RESIZE).body(body).send().await {
            assert_eq!(answer.status(), 413);
        }
    }
    let grown = server.memory().saturating_sub(before) >> 20;
    println!("{grown} MiB more after two bodies of 100 MB");
    assert!(grown < 150, "{grown} MiB");
    for padding in ["iVBORw0KGgo", "iVBORw0KGgo===", "i=VBORw0KGgo="] {
        let problem = server.call(RESIZE, &json!({"image": padding}), 422).await;
        assert_eq!(problem["errors"][0]["pointer"], "/image", "{problem}");
    }
    // Paths are not files.
    for path in ["../../etc/passwd", "/etc/passwd", "x.png [output]", "file:///etc/passwd", "C:\\x.png"] {
        server.call(RESIZE, &json!({"image": path}), 422).await;
    }
}

/// A ComfyUI that lets large uploads pass by, and remembers how large they were.
async fn engine_beside(simulator: &str) -> (String, std::sync::Arc<std::sync::Mutex<Vec<u64>>>) {
    #[derive(Clone)]
    struct Beside {
        http: reqwest::Client,
        simulator: String,
        uploads: std::sync::Arc<std::sync::Mutex<Vec<u64>>>,
    }
    async fn pass(State(beside): State<Beside>, request: Request) -> Response {
        let path = request.uri().path_and_query().unwrap().to_string();
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let method = Method::from_bytes(parts.method.as_str().as_bytes()).unwrap();
        let mut asked = beside.http.request(method, format!("{}{path}", beside.simulator)).body(body);
        if let Some(kind) = parts.headers.get("content-type") {
            asked = asked.header("content-type", kind);
        }
        let answer = asked.send().await.unwrap();
        let status = answer.status();
        (status, answer.bytes().await.unwrap()).into_response()
    }
    async fn upload(State(beside): State<Beside>, body: Body) -> Response {
        let (mut size, mut head) = (0, Vec::new());
        let mut data = body.into_data_stream();
        while let Some(chunk) = data.next().await {
            let chunk = chunk.unwrap();
            size += chunk.len() as u64;
            head.extend_from_slice(&chunk[..chunk.len().min(2048 - head.len())]);
        }
        beside.uploads.lock().unwrap().push(size);
        let head = String::from_utf8_lossy(&head).into_owned();
        let name = head.split("filename=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let form = Form::new()
            .text("type", "input")
            .text("subfolder", "comfyport")
            .text("overwrite", "true")
            .part("image", Part::bytes(vec![0; 10]).file_name(name));
        let there = format!("{}/upload/image", beside.simulator);
        let answer = beside.http.post(there).multipart(form).send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap()).into_response()
    }
    let uploads = std::sync::Arc::default();
    let beside = Beside {
        http: reqwest::Client::new(),
        simulator: simulator.to_owned(),
        uploads: std::sync::Arc::clone(&uploads),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new()
        .route("/upload/image", post(upload).layer(axum::extract::DefaultBodyLimit::disable()))
        .fallback(pass)
        .with_state(beside);
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, uploads)
}

/// A film of so many bytes from its address through the server to an engine, and what the server holds of it at most.
async fn film_passes(size: u64) -> u64 {
    let host = Host::new(&[("/film.mp4", There::Long(film(size), size))]).await;
    let workflows = tempfile::tempdir().unwrap();
    let graph = json!({
        "1": {"class_type": "LoadVideo", "inputs": {"file": "a.mp4"}},
        "2": {"class_type": "SaveVideo",
              "inputs": {"video": ["1", 0], "filename_prefix": "x", "format": "auto", "codec": "auto"}},
    });
    std::fs::write(workflows.path().join("cut.json"), graph.to_string()).unwrap();
    let simulator = Comfyport::simulator();
    let (engine, uploads) = engine_beside(simulator.url()).await;
    let (name, value) = allowing(&host);
    let folder = workflows.path().to_str().unwrap();
    let settings = [(name, value.as_str()), ("COMFYPORT_WORKFLOWS_DIR", folder)];
    let server = Comfyport::in_front_of_with(&engine, &settings);
    server.call("/sd15/txt2img", &json!({"prompt": "x", "steps": 1}), 200).await;
    let before = server.memory();
    let watch = async {
        let mut most = before;
        loop {
            most = most.max(server.memory());
            tokio::time::sleep(Duration::from_millis(5)).await;
            if uploads.lock().unwrap().iter().any(|seen| *seen > size) {
                return most.max(server.memory());
            }
        }
    };
    let request = json!({"video": host.url("/film.mp4")});
    let run = server.call("/cut", &request, 200);
    let (most, done) = tokio::join!(watch, run);
    assert!(done["outputs"].as_object().is_some_and(|outputs| !outputs.is_empty()), "{done}");
    // Once more: the engine has it already.
    let seen = uploads.lock().unwrap().len();
    server.call("/cut", &request, 200).await;
    assert_eq!(uploads.lock().unwrap().len(), seen, "the same content is uploaded once");
    most - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_never_whole_in_memory() {
    let grown = film_passes(192 << 20).await;
    println!("{} MiB more at most for a film of 192 MiB", grown >> 20);
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a gigabyte, to read the figure"]
async fn a_film_of_a_gigabyte_is_never_whole_in_memory() {
    let grown = film_passes(1 << 30).await;
    println!("{} MiB more at most for a film of 1 GiB", grown >> 20);
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_lie_in_the_database_where_servers_share_one() {
    let address = match postgres::address() {
        Ok(address) => address,
        Err(why) => {
            println!("left out: {why}");
            return;
        }
    };
    let host =
        Host::new(&[("/a.png", There::File(picture(1))), ("/film.mp4", There::Long(film(3 << 20), 3 << 20))])
            .await;
    let (name, value) = allowing(&host);
    let data = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let settings = [(name, value.as_str()), ("COMFYPORT_STORE_URL", address)];
    let (first, second) = (
        Comfyport::simulated_in(data[0].path(), &settings),
        Comfyport::simulated_in(data[1].path(), &settings),
    );
    let made = upload(&first, picture(7), "ann", 201).await;
    let run = async |server: &Comfyport, image: &Value| {
        let body = json!({"image": image}).to_string();
        server.expect(server.post(RESIZE).header("x-api-key", "ann").body(body), 200).await.json()
    };
    for server in [&first, &second] {
        run(server, &made["reference"]).await;
        run(server, &json!(host.url("/a.png"))).await;
    }
    let long = first.call(RESIZE, &json!({"image": host.url("/film.mp4")}), 415).await;
    assert_eq!(long["code"], "unsupported_media");
    let left: usize = data.iter().map(|data| left_of_inputs(data.path())).sum();
    assert_eq!(left, 0, "nothing of requests lies in folders of servers");
}

/// Files that are named after their content, or on their way.
fn left_of_inputs(folder: &Path) -> usize {
    let named = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.len() > 64 || name.contains(".part")
    };
    files_below(folder).iter().filter(|path| named(path)).count()
}

#[test]
fn faulty_settings_of_fetching_are_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[fetch]\nallow = [\"http://a\"]\n").unwrap();
    let path = file.path().to_str().unwrap();
    let done = command(&["config", "show", "--config", path]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("`fetch.allow`: `http://a` is none of a host"), "{said}");
    let secret = "[[fetch.credentials]]\nurl = \"https://a.example/*\"\nheaders = { x-key = \"sesame\" }\n";
    std::fs::write(file.path(), secret).unwrap();
    let done = command(&["config", "show", "--config", path]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("a.example") && !said.contains("sesame"), "{said}");
}
