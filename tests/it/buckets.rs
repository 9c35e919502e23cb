//! Outputs in buckets. What needs a real server of S3 is run by `.ci/buckets`, which says where it is (`BUCKET_S3`).

use serde_json::{Value, json};

use crate::process::Comfyport;

const PAINT: &str = "/sd15/txt2img";

fn small(options: Value) -> Value {
    json!({"prompt": "a fox", "width": 64, "height": 64, "steps": 1, "options": options})
}

/// A configuration with these buckets, whose name is all that differs.
fn configured(folder: &std::path::Path, buckets: &[(&str, &str, &Value)]) -> String {
    let table = |(name, url, options): &(&str, &str, &Value)| {
        let options: Vec<String> =
            options.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}")).collect();
        format!("[[bucket]]\nname = \"{name}\"\nurl = \"{url}\"\noptions = {{ {} }}\n", options.join(", "))
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
    let config = configured(folder.path(), &[("results", "s3://box/out", &options)]);
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
    let config = configured(folder.path(), &[("results", url, options), ("nowhere", &elsewhere, options)]);
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
