//! Files from buckets, of a host that answers as S3 does.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use comfyport_buckets::Bucket;
use comfyport_depot::{
    How, Sha256, Ways,
    testing::{Host, Reply, safetensors},
};

use crate::{Home, pinned, read, wanted, ways};

/// A bucket `box` with one object, of which the first answer breaks off after so many bytes.
async fn bucket(content: &[u8], cut: usize) -> (Host, Ways) {
    let content = Bytes::copy_from_slice(content);
    let gets = Arc::new(AtomicUsize::new(0));
    let host = Host::start(move |seen| {
        if seen.path() != "/box/models/x.safetensors" {
            return Reply::new(404, "");
        }
        let etag = "\"d41d8cd98f00b204e9800998ecf8427e-2\"";
        if seen.header("if-match").is_some_and(|wanted| wanted != etag) {
            return Reply::new(412, "");
        }
        let file = Reply::file(seen, &content, etag).with("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
        let first = seen.method == "GET" && gets.fetch_add(1, Ordering::SeqCst) == 0;
        if first { Reply { cut: Some(cut), ..file } } else { file }
    });
    let host = host.await;
    let endpoint = host.at("/");
    let options = [
        ("aws_endpoint", endpoint.trim_end_matches('/')),
        ("aws_region", "eu-west-1"),
        ("aws_allow_http", "true"),
        ("aws_virtual_hosted_style_request", "false"),
        ("aws_access_key_id", "someone"),
        ("aws_secret_access_key", "sesame"),
    ];
    let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut ways = ways();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    ways.buckets.push(Bucket::open("s3://box/models", &options, client).unwrap());
    (host, ways)
}

#[tokio::test]
async fn an_object_is_fetched_and_gone_on_with() {
    let content = safetensors(1, 300_000);
    let (host, ways) = bucket(&content, 100_000).await;
    let home = Home::new();
    let pulled = home.pull_with(ways, &wanted("s3://box/models/x.safetensors")).await.unwrap();
    assert_eq!((read(&pulled.path), pulled.sha256), (content.clone(), Some(Sha256::of(&content))));
    assert_eq!(pulled.how, How::Fetched { bytes: content.len() as u64, resumed: 0 });
    let ranges: Vec<_> =
        host.seen().iter().filter_map(|seen| seen.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    assert!(ranges[0].starts_with("bytes=100000-"), "{ranges:?}");
}

#[tokio::test]
async fn what_is_not_there_or_not_ours_is_told() {
    let content = safetensors(2, 1000);
    let (_host, ways) = bucket(&content, usize::MAX).await;
    for (source, code) in [
        ("s3://box/models/none.safetensors", "not_found"),
        ("s3://box/elsewhere/x.safetensors", "no_bucket"),
        ("gs://box/models/x.safetensors", "no_bucket"),
    ] {
        let home = Home::new();
        let error = home.pull_with(ways.clone(), &wanted(source)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        home.assert_nothing_visible();
    }
    let home = Home::new();
    let wrong = pinned("s3://box/models/x.safetensors", &safetensors(3, 1000));
    let error = home.pull_with(ways, &wrong).await.unwrap_err();
    assert_eq!(error.code(), "wrong_hash", "{error}");
    home.assert_nothing_visible();
}
