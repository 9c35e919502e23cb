//! Outputs in buckets, and inputs from them. What needs a real server of S3 is run by `.ci/buckets`, which says where it is (`BUCKET_S3`).

use serde_json::{Value, json};

use crate::process::Comfyport;

const PAINT: &str = "/sd15/txt2img";

fn small(options: Value) -> Value {
    json!({"prompt": "a fox", "width": 64, "height": 64, "steps": 1, "options": options})
}

/// A configuration with these buckets: their names, addresses and options, and what else is said of them.
fn configured(folder: &std::path::Path, buckets: &[(&str, &str, &Value, &str)]) -> String {
    let table = |(name, url, options, more): &(&str, &str, &Value, &str)| {
        let options: Vec<String> =
            options.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}")).collect();
        format!(
            "[[bucket]]\nname = \"{name}\"\nurl = \"{url}\"\noptions = {{ {} }}\n{more}\n",
            options.join(", ")
        )
    };
    let path = folder.join("comfyport.toml");
    std::fs::write(&path, buckets.iter().map(table).collect::<String>()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_buckets_that_are_there_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        json!({"aws_region": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "sesame"});
    let config = configured(folder.path(), &[("results", "s3://box/out", &options, "")]);
    let server = Comfyport::simulated_with(&[("COMFYPORT_CONFIG", &config)]);
    for (wish, said) in [
        (json!("others"), "there are results"),
        (json!({"bucket": "results", "prefix": "../x"}), "between slashes"),
        (json!({"bucket": "results", "url": "s3://mine"}), "an object with"),
    ] {
        let refused = server.call(PAINT, &small(json!({"store": wish})), 422).await;
        assert_eq!(refused["errors"][0]["param"], "options.store", "{refused}");
        assert!(refused["detail"].as_str().unwrap().contains(said), "{refused}");
    }
    let shown = crate::process::run(&["config", "show", "--config", &config]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("aws_region") && !shown.contains("sesame"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of S3"]
async fn outputs_are_copied_linked_to_and_kept_apart() {
    let text = std::env::var("BUCKET_S3").expect("`.ci/buckets` starts the server and says where it is");
    let settings: Value = serde_json::from_str(&text).unwrap();
    let (url, options) = (settings["address"].as_str().unwrap(), &settings["options"]);
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = format!("{}-none/x", url.rsplit_once('/').unwrap().0);
    let config =
        configured(folder.path(), &[("results", url, options, ""), ("nowhere", &elsewhere, options, "")]);
    let server = Comfyport::simulated_with(&[
        ("COMFYPORT_CONFIG", &config),
        ("COMFYPORT_ARTIFACTS_BUCKET", "results"),
    ]);
    for (wish, below) in [
        (json!({}), String::new()),
        (json!({"store": {"bucket": "results", "prefix": "a/b"}}), "a/b/".to_owned()),
    ] {
        let result = server.call(PAINT, &small(wish), 200).await;
        let image = &result["outputs"]["image"][0];
        let expected = format!("{url}/{below}{}/image.png", result["id"].as_str().unwrap());
        assert_eq!(image["stored"]["url"], expected.as_str(), "{image}");
        assert!(image["stored"]["link_expires_at"].is_string());
        let ours = server.read(image["url"].as_str().unwrap(), 200).await.body;
        let link = image["stored"]["link"].as_str().unwrap();
        let theirs = reqwest::get(link).await.unwrap();
        assert_eq!(
            (theirs.status().as_u16(), &theirs.headers()["content-type"]),
            (200, &"image/png".parse().unwrap())
        );
        assert!(theirs.bytes().await.unwrap() == ours);
    }
    let failed = server.call(PAINT, &small(json!({"store": "nowhere"})), 502).await;
    assert_eq!(failed["code"], "output_missing");
    assert!(failed["detail"].as_str().unwrap().contains("bucket"), "{failed}");
}

/// What was not opened is not asked for: there is nobody at the other end.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_opened_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let asked = crate::host::Host::new(&[]).await;
    let options = json!({
        "aws_region": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "sesame",
        "aws_endpoint": asked.url(""), "aws_allow_http": "true",
    });
    let config = configured(
        folder.path(),
        &[
            ("closed", "s3://closed/out", &options, ""),
            ("open", "s3://box/in", &options, "read = true\nread_prefixes = [\"public/\", \"{owner}/\"]"),
        ],
    );
    let data = folder.path().join("data");
    let place = ["--simulate", "--data-dir", data.to_str().unwrap()];
    let made = crate::process::run(&[&["keys", "create", "ci", "--owner", "acme"][..], &place].concat());
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let settings = [("COMFYPORT_CONFIG", config.as_str()), ("COMFYPORT_LOG_LEVEL", "trace")];
    let server = Comfyport::simulated_in(&data, &settings);
    let ask = |image: &Value| {
        let body = json!({"image": image}).to_string();
        server.post("/image/resize").bearer_auth(&key).body(body)
    };
    for address in [
        "s3://closed/out/a.png",
        "s3://box/in/secret/a.png",
        "s3://box/in/public/../secret/a.png",
        "s3://box/in/publicity/a.png",
        "s3://box/in/other/a.png",
        "s3://box/out/a.png",
        "s3://unknown/a.png",
        "gs://box/in/public/a.png",
        "az://box/in/public/a.png",
    ] {
        for image in [json!(address), json!({"url": address})] {
            let refused = server.expect(ask(&image), 422).await.json();
            assert_eq!(refused["code"], "input_url_forbidden", "{refused}");
            assert_eq!(refused["errors"][0]["param"], "image", "{refused}");
        }
    }
    // Credentials are the operator's to give.
    let own = json!({"url": "s3://box/in/public/a.png", "credential": "x"});
    server.expect(ask(&own), 422).await;
    assert_eq!(asked.connects(), 0);
    for own in ["s3://box/in/public/a.png", "s3://box/in/acme/a.png"] {
        let missing = server.expect(ask(&json!(own)), 422).await.json();
        assert_eq!(missing["code"], "input_url_failed", "{missing}");
        assert!(missing["detail"].as_str().unwrap().contains("no such file"), "{missing}");
    }
    assert!(asked.connects() >= 2);
    let check = server.post("/image/resize:check").bearer_auth(&key);
    let check = check.body(json!({"image": "s3://box/in/public/a.png"}).to_string());
    server.expect(check, 200).await;
    assert_eq!(asked.connects(), 0);
    assert!(!server.log().contains("sesame"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server of S3"]
async fn inputs_are_read_from_where_outputs_were_copied_to() {
    let text = std::env::var("BUCKET_S3").expect("`.ci/buckets` starts the server and says where it is");
    let settings: Value = serde_json::from_str(&text).unwrap();
    let (url, options) = (settings["address"].as_str().unwrap(), &settings["options"]);
    let folder = tempfile::tempdir().unwrap();
    let all = "read = true\nread_prefixes = [\"*\"]";
    let mut away = options.clone();
    away["aws_endpoint"] = json!("http://127.0.0.1:9");
    let config = configured(folder.path(), &[("a", url, options, all), ("b", "s3://away/in", &away, all)]);
    let server =
        Comfyport::simulated_with(&[("COMFYPORT_CONFIG", &config), ("COMFYPORT_FETCH_TIMEOUT_S", "5")]);
    let made = server.call(PAINT, &small(json!({"store": "a"})), 200).await;
    let image = &made["outputs"]["image"][0];
    let address = image["stored"]["url"].as_str().unwrap();
    for value in [json!(address), json!({"url": address, "resize": {"width": 32}})] {
        let done = server.call("/image/resize", &json!({"image": value}), 200).await;
        assert!(done["params"]["image"]["size"].as_u64().unwrap() > 0, "{done}");
    }
    // What it is follows from its bytes, as of any file.
    let refused = server.call("/image/resize", &json!({"image": format!("{address}.none")}), 422).await;
    assert_eq!(refused["code"], "input_url_failed");
    let refused = server.call("/image/resize", &json!({"image": "s3://away/in/a.png"}), 502).await;
    assert_eq!(refused["code"], "input_url_unreachable", "{refused}");
    assert!(!refused.to_string().contains("127.0.0.1"), "{refused}");
    let capped = Comfyport::simulated_with(&[
        ("COMFYPORT_CONFIG", config.as_str()),
        ("COMFYPORT_MEDIA_MAX_PICTURE_BYTES", "50"),
    ]);
    let refused = capped.call("/image/resize", &json!({"image": address}), 413).await;
    assert_eq!(refused["code"], "too_large", "{refused}");
}
