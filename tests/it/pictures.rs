//! Pictures on their way in and out: turned, cut, resized, converted, in archives; and what is refused.

use std::io::{Cursor, Read};

use image::{
    DynamicImage, ImageEncoder, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage, codecs::jpeg::JpegEncoder,
};
use serde_json::{Value, json};

use crate::process::{Answer, Comfyport};

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn base64(data: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(data)
}

/// Red on the left, blue on the right; 60 × 40.
fn halves() -> RgbImage {
    RgbImage::from_fn(60, 40, |x, _| if x < 30 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) })
}

/// The same, stored lying on its side as cameras do.
fn held_upright() -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut out, 95);
    let exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    encoder.write_image(halves().as_raw(), 60, 40, image::ExtendedColorType::Rgb8).unwrap();
    out
}

struct House {
    engine: Comfyport,
    server: Comfyport,
}

impl House {
    fn new(settings: &[(&str, &str)]) -> Self {
        let engine = Comfyport::simulator();
        let server = Comfyport::in_front_of_with(engine.url(), settings);
        Self { engine, server }
    }

    /// Names of files that the engine was given, in order.
    async fn uploads(&self) -> Vec<String> {
        let ledger: Value = self.engine.get("/simulator/ledger").send().await.unwrap().json().await.unwrap();
        let uploads = ledger.as_array().unwrap().iter().filter(|entry| entry["event"] == "uploaded");
        uploads.map(|entry| entry["detail"].as_str().unwrap().trim_start_matches('/').to_owned()).collect()
    }

    /// The last picture that the engine was given.
    async fn last(&self) -> Vec<u8> {
        let name = self.uploads().await.pop().unwrap();
        let (folder, name) = name.rsplit_once('/').unwrap_or(("", &name));
        let view = format!("/view?filename={name}&subfolder={folder}&type=input");
        self.engine.get(&view).send().await.unwrap().bytes().await.unwrap().to_vec()
    }
}

fn size(picture: &[u8]) -> (usize, usize) {
    let size = imagesize::blob_size(picture).unwrap();
    (size.width, size.height)
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_changed_as_their_callers_wish() {
    let house = House::new(&[]);
    let file = written(&halves().into(), ImageFormat::Png);
    let request = json!({
        "image": {"base64": base64(&file), "crop": {"x": 30, "width": 30, "height": 40},
            "resize": {"width": 10, "height": 10, "fit": "cover"}},
        "width": 64, "height": 64,
    });
    house.server.call("/image/resize", &request, 200).await;
    let given = image::load_from_memory(&house.last().await).unwrap().to_rgb8();
    assert_eq!((given.dimensions(), given.get_pixel(5, 5)), ((10, 10), &Rgb([0, 0, 255])));
    // Its name is made of what it became: nothing wished for leads to another.
    let plain = json!({"image": base64(&file), "width": 64, "height": 64});
    house.server.call("/image/resize", &plain, 200).await;
    house.server.call("/image/resize", &request, 200).await;
    assert_eq!(house.uploads().await.len(), 2);
    assert_eq!(house.last().await, file, "untouched, what nobody wants changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_has_its_wishes_beside_the_file() {
    let house = House::new(&[]);
    let form = |wish: &'static str| {
        let file = written(&halves().into(), ImageFormat::Png);
        let part = reqwest::multipart::Part::bytes(file).file_name("x.png");
        // Before the file that it is about.
        let form = reqwest::multipart::Form::new().text("image.options", wish).part("image", part);
        let form = form.text("width", "64").text("height", "64");
        house.server.post("/image/resize").header("prefer", "respond-async").multipart(form)
    };
    let job = house.server.expect(form(r#"{"resize":{"width":15}}"#), 202).await.json();
    let url = job["status_url"].as_str().unwrap();
    house.server.read(&format!("{url}/events"), 200).await;
    assert_eq!(size(&house.last().await), (15, 10));
    // Run once more, it is what it was: a wish is not granted twice.
    let again = house.server.expect(house.server.post(&format!("{url}:retry")), 202).await.json();
    house.server.read(again["events_url"].as_str().unwrap(), 200).await;
    assert_eq!((house.uploads().await.len(), size(&house.last().await)), (1, (15, 10)));
    let problem = house.server.expect(form(r#"{"resize":{"widht":15}}"#), 422).await.json();
    assert_eq!(problem["errors"][0]["pointer"], "/image/resize/widht", "{problem}");
    for (name, wish) in [("image.options", "[]"), ("imge.options", "{}"), ("width.options", "{}")] {
        let lone = reqwest::multipart::Form::new().text(name, wish);
        let problem =
            house.server.expect(house.server.post("/image/resize").multipart(lone), 422).await.json();
        assert!(problem["errors"].to_string().contains(&format!("/{name}")), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cameras_that_were_held_upright_are_made_good_unless_told_otherwise() {
    for (orient, expected) in [("true", (40, 60)), ("false", (60, 40))] {
        let house = House::new(&[("COMFYPORT_MEDIA_ORIENT", orient)]);
        let request = json!({"image": base64(&held_upright()), "width": 64, "height": 64});
        house.server.call("/image/resize", &request, 200).await;
        let given = house.last().await;
        assert_eq!(size(&given), expected, "{orient}");
        // Whoever turns pictures by what they say of themselves finds nothing, or does it alone.
        let said = given.windows(6).any(|window| window == b"MM\0\x2a\0\0");
        assert_eq!(said, orient == "false");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transparency_becomes_a_mask() {
    let house = House::new(&[]);
    let picture = RgbaImage::from_fn(16, 16, |x, _| Rgba([9, 9, 9, if x < 8 { 0 } else { 255 }]));
    let picture = base64(&written(&picture.into(), ImageFormat::Png));
    let request = json!({
        "image": {"base64": picture, "alpha": "white"}, "mask": {"base64": picture, "mask_from_alpha": true},
        "prompt": "x", "options": {"tags": ["mask"]},
    });
    house.server.call("/sd15/inpaint", &request, 200).await;
    let mut kinds = Vec::new();
    for name in house.uploads().await {
        let (folder, name) = name.rsplit_once('/').unwrap_or(("", &name));
        let view = format!("/view?filename={name}&subfolder={folder}&type=input");
        let data = house.engine.get(&view).send().await.unwrap().bytes().await.unwrap();
        let given = image::load_from_memory(&data).unwrap();
        let sides = [2, 12].map(|x| given.to_rgba8().get_pixel(x, 2).0);
        kinds.push((given.color().has_alpha(), sides));
    }
    kinds.sort_unstable();
    let image = (false, [[255, 255, 255, 255], [9, 9, 9, 255]]);
    let mask = (true, [[255, 255, 255, 0], [0, 0, 0, 255]]);
    assert_eq!(kinds, [image, mask]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wish_that_cannot_be_granted_is_named() {
    let house = House::new(&[]);
    let file = base64(&written(&halves().into(), ImageFormat::Png));
    let at = |wish: Value| {
        let mut image = json!({"base64": file});
        image.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
        json!({"image": image, "width": 64, "height": 64})
    };
    for (wish, pointer) in [
        (json!({"resize": {"fit": "cover"}}), "/image/resize"),
        (json!({"resize": {"width": 70_000}}), "/image/resize/width"),
        (json!({"resize": {"width": 60_000, "height": 60_000, "fit": "fill"}}), "/image/resize"),
        (json!({"crop": {"x": 40, "y": 0, "width": 40, "height": 10}}), "/image/crop"),
        (json!({"alpha": "pink"}), "/image/alpha"),
        (json!({"mask_from_alpha": true}), "/image/mask_from_alpha"),
        (json!({"rotate": 90}), "/image"),
    ] {
        let problem = house.server.call("/image/resize", &at(wish), 422).await;
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        let check = house.server.call("/image/resize:check", &at(json!({"alpha": "pink"})), 422).await;
        assert_eq!(check["code"], "invalid_request");
    }
    let batch = json!({"items": [at(json!({})), at(json!({"crop": {"width": 61, "height": 1}}))]});
    let problem = house.server.call("/image/resize:batch", &batch, 422).await;
    assert_eq!(problem["errors"][0]["pointer"], "/items/1/image/crop", "{problem}");
    assert!(house.uploads().await.is_empty());
}

/// A run of the simulator, which writes pictures with the workflow in them.
async fn run(server: &Comfyport, options: Value) -> Value {
    let request = json!({"prompt": "a fox", "width": 128, "height": 64, "options": options});
    server.call("/sd15/txt2img", &request, 200).await
}

async fn fetch(server: &Comfyport, item: &Value) -> Answer {
    let answer = server.read(item["url"].as_str().unwrap(), 200).await;
    assert_eq!(answer.body.len() as u64, item["size"].as_u64().unwrap());
    assert_eq!(answer.header("content-type"), item["content_type"]);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_in_the_form_that_was_asked_for() {
    let server = Comfyport::simulated();
    for (convert, content_type, ending, expected) in [
        (json!({"format": "webp", "quality": 60}), "image/webp", "webp", (128, 64)),
        (json!({"format": "jpg"}), "image/jpeg", "jpg", (128, 64)),
        (json!({"format": "avif", "resize": {"width": 32}}), "image/avif", "avif", (32, 16)),
        (json!({"resize": {"width": 40, "height": 40, "fit": "contain"}}), "image/png", "png", (40, 40)),
    ] {
        let result =
            run(&server, json!({"convert": convert, "thumbnail": {"width": 20, "format": "png"}})).await;
        let item = &result["outputs"]["image"][0];
        assert_eq!(item["content_type"], content_type, "{item}");
        assert_eq!(item["filename"], format!("image.{ending}"));
        assert_eq!((item["width"].as_u64(), item["height"].as_u64()), (Some(expected.0), Some(expected.1)));
        let file = fetch(&server, item).await;
        assert_eq!(
            size(&file.body),
            (usize::try_from(expected.0).unwrap(), usize::try_from(expected.1).unwrap())
        );
        let small = fetch(&server, &item["thumbnail"]).await;
        assert_eq!((size(&small.body), small.header("content-type")), ((20, 10), "image/png"));
        // The small one is no output of its own.
        let pictures = server.expect(
            server.post("/sd15/txt2img").header("accept", "image/*").body(
                json!({"prompt": "x", "width": 64, "height": 64, "options": {"thumbnail": {"width": 8}}})
                    .to_string(),
            ),
            200,
        );
        assert_eq!(size(&pictures.await.body), (64, 64));
    }
    let faults = server
        .call(
            "/sd15/txt2img",
            &json!({"prompt": "x", "options": {
        "convert": {"format": "gif"}, "thumbnail": {"width": 0}, "embedded": "all"}}),
            422,
        )
        .await;
    let mut pointers: Vec<&str> =
        faults["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/options/convert/format", "/options/embedded", "/options/thumbnail/width"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_engines_write_into_pictures_stays_only_if_it_is_wanted() {
    let server = Comfyport::simulated();
    for (options, kept) in [(json!({}), false), (json!({"embedded": "keep"}), true)] {
        let result = run(&server, options).await;
        let file = fetch(&server, &result["outputs"]["image"][0]).await;
        let holds = |word: &[u8]| file.body.windows(word.len()).any(|window| window == word);
        assert_eq!(holds(b"class_type"), kept);
        assert!(image::load_from_memory(&file.body).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accept_and_addresses_choose_a_form() {
    let server = Comfyport::simulated();
    let body = json!({"prompt": "x", "width": 128, "height": 64}).to_string();
    for (accept, content_type) in [
        ("image/webp", "image/webp"),
        ("image/jpeg;q=0.9, image/png;q=0.5", "image/jpeg"),
        ("image/*", "image/png"),
        ("image/avif, image/*", "image/png"),
    ] {
        let request = server.post("/sd15/txt2img").header("accept", accept).body(body.clone());
        let answer = server.expect(request, 200).await;
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
        assert_eq!(size(&answer.body), (128, 64));
    }
    server.expect(server.post("/sd15/txt2img").header("accept", "image/tiff").body(body), 406).await;

    let result = run(&server, json!({})).await;
    let url = result["outputs"]["image"][0]["url"].as_str().unwrap().to_owned();
    let stored = server.read(&url, 200).await;
    assert_eq!(stored.header("vary"), "accept");
    for (accept, content_type) in [
        ("*/*", "image/png"),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "image/png"),
        ("image/webp, */*;q=0.1", "image/webp"),
        ("video/mp4", "image/png"),
    ] {
        let answer = server.expect(server.get(&url).header("accept", accept), 200).await;
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
    }
    let small = format!("{url}?format=jpeg&quality=70&width=32&expires=7");
    let answer = server.read(&small, 200).await;
    assert_eq!((answer.header("content-type"), size(&answer.body)), ("image/jpeg", (32, 16)));
    assert_eq!(answer.header("content-disposition"), "inline; filename=\"image.jpg\"");
    let etag = answer.header("etag").to_owned();
    assert_ne!(etag, stored.header("etag"));
    let known = server.expect(server.get(&small).header("if-none-match", &etag), 304).await;
    assert!(known.body.is_empty());
    let other = server.get(&format!("{url}?width=33")).header("if-none-match", &etag);
    assert_eq!(size(&server.expect(other, 200).await.body), (33, 17));
    let problem = server.read(&format!("{url}?quality=0&width=0"), 422).await.json();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_still_picture_is_left_as_it_is_and_says_so() {
    let server = Comfyport::simulated();
    let request =
        json!({"prompt": "x", "options": {"convert": {"format": "webp"}, "thumbnail": {"width": 16}}});
    let result = server.call("/wan/txt2video", &request, 200).await;
    let items: Vec<&Value> =
        result["outputs"].as_object().unwrap().values().flat_map(|items| items.as_array().unwrap()).collect();
    let film =
        items.iter().find(|item| !item["content_type"].as_str().unwrap_or_default().starts_with("image/png"));
    let film = film.unwrap();
    assert!(film["left_as_is"].is_string(), "{film}");
    let address = format!("{}?format=jpeg", film["url"].as_str().unwrap());
    let answer = server.read(&address, 200).await;
    assert_eq!(answer.header("content-type"), film["content_type"]);
    assert!(!answer.header("x-comfyport-left-as-is").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_in_one_archive() {
    let server = Comfyport::simulated();
    let request = json!({"prompt": "x", "width": 64, "height": 64, "advanced": {"batch_size": 3}});
    let asked = server.post("/sd15/txt2img").header("accept", "application/zip").body(request.to_string());
    let answer = server.expect(asked, 200).await;
    assert_eq!(answer.header("content-type"), "application/zip");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let id = answer.header("x-comfyport-run").to_owned();
    let mut archive = zip::ZipArchive::new(Cursor::new(answer.body.clone())).unwrap();
    let mut text = String::new();
    archive.by_name("result.json").unwrap().read_to_string(&mut text).unwrap();
    let result: Value = serde_json::from_str(&text).unwrap();
    let items = result["outputs"]["image"].as_array().unwrap();
    assert_eq!((items.len() + 1, result["id"].as_str()), (archive.len(), Some(id.as_str())));
    for item in items {
        let mut packed = Vec::new();
        archive.by_name(item["filename"].as_str().unwrap()).unwrap().read_to_end(&mut packed).unwrap();
        assert_eq!(packed, fetch(&server, item).await.body);
    }
    let later = server.read(&format!("/jobs/{id}/outputs"), 200).await;
    assert_eq!(later.body, answer.body);
    server.read("/jobs/7ed02109-0000-4000-8000-000000000000/outputs", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_results_have_an_end() {
    let server = Comfyport::simulated_with(&[("COMFYPORT_ARTIFACTS_MAX_INLINE_BYTES", "100")]);
    let result = run(&server, json!({"inline": true})).await;
    let item = &result["outputs"]["image"][0];
    assert!(
        item.get("data").is_none() && item["data_omitted"].as_str().unwrap().contains("max_inline_bytes"),
        "{item}"
    );
    fetch(&server, item).await;
    let roomy = Comfyport::simulated();
    let result = run(&roomy, json!({"inline": true})).await;
    assert!(result["outputs"]["image"][0]["data"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_in_another_form_are_other_results() {
    let server = Comfyport::simulated();
    let ask = async |options: Value| {
        let body = json!({"prompt": "x", "seed": 7, "width": 64, "height": 64, "options": options});
        let answer = server.expect(server.post("/sd15/txt2img").body(body.to_string()), 200).await;
        (
            answer.header("x-comfyport-cache").to_owned(),
            answer.json()["outputs"]["image"][0]["content_type"].clone(),
        )
    };
    let webp = json!({"cache": true, "convert": {"format": "webp"}, "thumbnail": {"width": 9}});
    assert_eq!(ask(webp.clone()).await, (String::new(), json!("image/webp")));
    assert_eq!(ask(json!({"cache": true})).await, (String::new(), json!("image/png")));
    assert_eq!(ask(webp).await, ("hit".to_owned(), json!("image/webp")));
}

fn chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
    let mut checksum = flate2::Crc::new();
    checksum.update(name);
    checksum.update(body);
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], name, body, &checksum.sum().to_be_bytes()]
        .concat()
}

fn zeros(length: usize) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&vec![0; length]).unwrap();
    packer.finish().unwrap()
}

fn png(width: u32, height: u32, profile: &[u8], pixels: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
    let profile = if profile.is_empty() { Vec::new() } else { chunk(b"iCCP", &[b"x\0\0", profile].concat()) };
    let chunks = [chunk(b"IHDR", &header), profile, chunk(b"IDAT", pixels), chunk(b"IEND", b"")].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks].concat()
}

/// RELIABILITY C6: what would unpack to gigabytes costs its header.
#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_for_the_price_of_their_headers() {
    let server = Comfyport::simulated();
    let wish = |file: &[u8]| json!({"image": {"base64": base64(file), "resize": {"width": 8}}, "width": 8, "height": 8});
    server.call("/image/resize", &wish(&written(&halves().into(), ImageFormat::Png)), 200).await;
    let half_a_megabyte = zeros(500 << 20);
    let frame = [&[0x2C][..], &[0; 4], &[4, 0, 4, 0], &[0], &[2, 1, 7, 0]].concat();
    let gif = [b"GIF89a\x04\0\x04\0\0\0\0".to_vec(), frame.repeat(10_000), vec![0x3B]].concat();
    let jpeg = [
        &[0xFF, 0xD8, 0xFF, 0xC0, 0, 17, 8, 0xFF, 0xFF, 0xFF, 0xFF, 3][..],
        &[1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0, 0xFF, 0xD9],
    ]
    .concat();
    let before = server.memory();
    for (name, file) in [
        ("two gigabytes", png(20_000, 25_000, &[], &half_a_megabyte)),
        ("65535 on each side", png(65_535, 65_535, &[], &[1])),
        ("a JPEG of that size", jpeg),
        ("ten thousand frames", gif),
    ] {
        let problem = server.call("/image/resize", &wish(&file), 422).await;
        assert_eq!(problem["errors"][0]["pointer"], "/image", "{name}: {problem}");
    }
    // The picture is small and in order; its profile would be half a gigabyte, and is left out.
    let mut row = vec![0; 8 * 4 + 1];
    row = row.repeat(8);
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packer, &row).unwrap();
    let profiled = png(8, 8, &half_a_megabyte, &packer.finish().unwrap());
    server.call("/image/resize", &wish(&profiled), 200).await;
    let grown = server.memory().saturating_sub(before) >> 20;
    println!("{} kB of bombs: {grown} MB more", half_a_megabyte.len() * 2 / 1000);
    assert!(grown < 48, "{grown} MB");
}

/// RELIABILITY C7: what a file is follows from its bytes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_is_not_taken_for_one() {
    let server = Comfyport::simulated();
    for (name, data) in [
        ("svg", &b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>1</script></svg>"[..]),
        ("html", b"<!doctype html><script>alert(1)</script>"),
        ("zip", b"PK\x03\x04\x14\0\0\0\0\0"),
        ("pdf behind a GIF's name", b"%PDF-1.7 GIF89a"),
    ] {
        let image = json!({"base64": base64(data), "filename": "x.png", "content_type": "image/png", "resize": {"width": 8}});
        let problem =
            server.call("/image/resize", &json!({"image": image, "width": 8, "height": 8}), 415).await;
        assert_eq!(problem["code"], "unsupported_media", "{name}");
    }
    // What is made of a picture with something behind it is the picture alone.
    let house = House::new(&[]);
    let polyglot =
        [written(&halves().into(), ImageFormat::Png), b"<script>alert(1)</script>".to_vec()].concat();
    let image = json!({"base64": base64(&polyglot), "resize": {"width": 30}});
    house.server.call("/image/resize", &json!({"image": image, "width": 8, "height": 8}), 200).await;
    assert!(!house.last().await.windows(8).any(|window| window == b"<script>"));
    let result = run(&server, json!({})).await;
    let answer = server.read(result["outputs"]["image"][0]["url"].as_str().unwrap(), 200).await;
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}
