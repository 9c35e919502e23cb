//! Files on their way out.

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;
use comfyport_fetch::{Blame, Credentials, FetchError, Fetcher, Limits};
use futures_util::{Stream, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    allowing, here,
    host::{Host, answer},
    with,
};

fn sender(limits: Limits) -> Fetcher {
    let ours = Credentials::new("http://127.0.0.1/*", [("authorization", "Bearer sesame")]).unwrap();
    with(allowing(&["127.0.0.0/8"]), here(), rustls::RootCertStore::empty(), vec![ours], limits)
}

fn pieces(count: usize) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::iter((0..count).map(|_| Ok(Bytes::from(vec![7; 1 << 16]))))
}

/// Takes so many bytes and answers.
async fn taking(length: usize, status: &'static str, headers: &'static str) -> Host {
    Host::raw("127.0.0.1:0", move |mut stream, _| async move {
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_ok() && body.iter().all(|byte| *byte == 7) {
            let _ = stream.write_all(&answer(status, headers, b"")).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_file_is_sent_as_it_is_read_and_nothing_else_goes_along() {
    let (count, length) = (100, 100 << 16);
    let host = taking(length, "201 Created", "").await;
    let fetcher = sender(Limits::default());
    let address = fetcher.judge(&host.url("/a.png?sig=1")).unwrap();
    fetcher.put(&address, "image/png", length as u64, pieces(count)).await.unwrap();
    let head = host.heads().remove(0);
    for line in ["put /a.png?sig=1 ", "content-type: image/png", &format!("content-length: {length}\r\n")] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("authorization") && !head.contains("transfer-encoding"), "{head}");
}

#[tokio::test]
async fn what_is_not_taken_is_told() {
    let fetcher = sender(Limits::default());
    for (status, headers, blame) in [
        ("403 Forbidden", "", Blame::Address),
        ("302 Found", "location: /elsewhere\r\n", Blame::Address),
        ("503 Busy", "", Blame::Host),
    ] {
        let host = taking(1 << 16, status, headers).await;
        let address = fetcher.judge(&host.url("/a")).unwrap();
        let error = fetcher.put(&address, "image/png", 1 << 16, pieces(1)).await.unwrap_err();
        assert_eq!((error.blame(), host.connects()), (blame, 1), "{error}");
        assert!(error.to_string().contains(&status[..3]), "{error}");
    }
    // Who never answers is not waited for.
    let silent =
        Host::raw("127.0.0.1:0", |mut stream, _| async move { while stream.read_u8().await.is_ok() {} })
            .await;
    let impatient = sender(Limits { total: Duration::from_millis(200), ..Limits::default() });
    let address = impatient.judge(&silent.url("/a")).unwrap();
    let error = impatient.put(&address, "image/png", 1 << 16, pieces(1)).await.unwrap_err();
    assert!(matches!(error, FetchError::NotTaken(_)) && error.blame() == Blame::Host, "{error}");
    // A file that breaks off is not sent as if it were whole.
    let host = taking(1 << 16, "200 OK", "").await;
    let address = fetcher.judge(&host.url("/a")).unwrap();
    let broken = stream::iter([Ok(Bytes::from_static(&[7; 9])), Err(io::Error::other("gone"))]);
    assert!(fetcher.put(&address, "image/png", 1 << 16, broken).await.is_err());
}

#[tokio::test]
async fn nothing_is_sent_where_nothing_is_asked() {
    let host = taking(1 << 16, "200 OK", "").await;
    let strict = with(
        allowing(&["files.example"]),
        here(),
        rustls::RootCertStore::empty(),
        Vec::new(),
        Limits::default(),
    );
    assert!(matches!(strict.judge(&host.url("/a")), Err(FetchError::Refused(_))));
    // A name that leads inside is found out when it is dialled.
    let inside = format!("http://other.example:{}/a", host.port);
    let address = strict.judge(&inside).unwrap();
    let error = strict.put(&address, "image/png", 1 << 16, pieces(1)).await.unwrap_err();
    assert_eq!((error.blame(), host.connects()), (Blame::Forbidden, 0), "{error}");
}
