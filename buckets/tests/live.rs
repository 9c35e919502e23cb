//! Against servers of the real protocols, which `.ci/buckets` starts: `BUCKET_S3` and `BUCKET_AZ` are JSON with
//! `address` and `options`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use comfyport_buckets::{Bucket, BucketError};
use futures_util::TryStreamExt;

/// Larger than what is sent in one piece, and not a whole number of parts.
const LARGE: usize = (20 << 20) + 7;

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_backend_preconfigured(comfyport_comfyui::tls()).no_proxy().build().unwrap()
}

async fn all(bucket: &Bucket, name: &str) -> Vec<u8> {
    let (size, data) = bucket.get(name).await.unwrap();
    let data: Vec<bytes::Bytes> = data.try_collect().await.unwrap();
    let data = data.concat();
    assert_eq!(size, data.len() as u64);
    data
}

async fn works(variable: &str) {
    let text = std::env::var(variable).expect("`.ci/buckets` starts the server and says where it is");
    let settings: serde_json::Value = serde_json::from_str(&text).unwrap();
    let options = settings["options"].as_object().unwrap().iter();
    let options: BTreeMap<String, String> =
        options.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect();
    let address = settings["address"].as_str().unwrap();
    let bucket = Bucket::open(address, &options, client()).unwrap();

    let mut small = tempfile::NamedTempFile::new().unwrap();
    small.write_all(b"a small file").unwrap();
    bucket.put("a/small.txt", small.path(), "text/plain").await.unwrap();
    assert_eq!(all(&bucket, "a/small.txt").await, b"a small file");
    let empty = tempfile::NamedTempFile::new().unwrap();
    bucket.put("a/empty", empty.path(), "text/plain").await.unwrap();
    assert!(all(&bucket, "a/empty").await.is_empty());

    let mut large = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..LARGE).map(|at| u8::try_from(at % 251).unwrap()).collect();
    large.write_all(&bytes).unwrap();
    bucket.put("a/large.bin", large.path(), "application/octet-stream").await.unwrap();
    assert!(all(&bucket, "a/large.bin").await == bytes);

    let link = bucket.link("a/small.txt", Duration::from_mins(1)).await.unwrap();
    let opened = client().get(link.clone()).send().await.unwrap();
    assert_eq!(opened.status(), 200, "{link}");
    assert_eq!(opened.headers()["content-type"], "text/plain");
    assert_eq!(opened.bytes().await.unwrap(), "a small file");

    assert!(matches!(bucket.get("a/none").await, Err(BucketError::Missing)));
    for name in ["a/small.txt", "a/empty", "a/large.bin", "a/none"] {
        bucket.remove(name).await.unwrap();
    }
    assert!(matches!(bucket.get("a/small.txt").await, Err(BucketError::Missing)));
    let gone =
        Bucket::open(&format!("{}-none/x", address.rsplit_once('/').unwrap().0), &options, client()).unwrap();
    let refused = gone.put("a", small.path(), "text/plain").await;
    assert!(refused.is_err());
}

#[tokio::test]
#[ignore = "needs a server"]
async fn s3_is_filled_and_read() {
    works("BUCKET_S3").await;
}

#[tokio::test]
#[ignore = "needs a server"]
async fn azure_is_filled_and_read() {
    works("BUCKET_AZ").await;
}
