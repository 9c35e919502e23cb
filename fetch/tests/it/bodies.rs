//! Hosts that send too much, too little, too slowly, or something else.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use comfyport_fetch::{Blame, FetchError, Fetcher, Limits};
use flate2::{Compression, write::GzEncoder};
use tokio::io::AsyncWriteExt;

use crate::{
    allowing, fetch, here,
    host::{Host, answer, file},
    with,
};

fn within(limits: Limits) -> Fetcher {
    with(allowing(&["127.0.0.0/8"]), here(), rustls::RootCertStore::empty(), Vec::new(), limits)
}

#[tokio::test]
async fn a_file_is_read_up_to_its_size_and_no_further() {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let endless = Host::raw("127.0.0.1:0", move |mut stream, head| {
        let counted = Arc::clone(&counted);
        async move {
            let honest = head.starts_with("get /honest");
            let length = if honest { "content-length: 99999999999\r\n" } else { "" };
            let _ = stream.write_all(&answer("200 OK", length, b"")).await;
            let piece = vec![7; 64 << 10];
            while stream.write_all(&piece).await.is_ok() {
                counted.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
        }
    })
    .await;
    let fetcher = within(Limits::default());
    let largest = 4 << 20;
    let error = fetch(&fetcher, &endless.url("/endless"), largest).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge(limit) if limit == largest), "{error:?}");
    // What lies in the buffers of two sockets was sent, and not read.
    let read = sent.load(Ordering::SeqCst);
    println!("{read} bytes sent of an endless file, with a limit of {largest}");
    assert!(read < largest + (16 << 20), "{read}");
    let error = fetch(&fetcher, &endless.url("/honest"), largest).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge(_)), "{error:?}");
    let exact = Host::new(|_| file(b"12345")).await;
    assert_eq!(fetch(&fetcher, &exact.url("/"), 5).await.unwrap(), b"12345");
    let error = fetch(&fetcher, &exact.url("/"), 4).await.unwrap_err();
    assert_eq!(
        (error.blame(), error.to_string()),
        (Blame::Address, "the file is larger than 4 bytes".to_owned())
    );
}

#[tokio::test]
async fn slow_and_silent_hosts_are_given_up() {
    let host = Host::raw("127.0.0.1:0", |mut stream, head| async move {
        if head.starts_with("get /mute") {
            std::future::pending::<()>().await;
        }
        let _ = stream.write_all(&answer("200 OK", "", b"")).await;
        let pause = if head.starts_with("get /drip") { 20 } else { u64::MAX };
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    })
    .await;
    let limits = Limits {
        total: Duration::from_secs(2),
        pace: 1000,
        pace_over: Duration::from_millis(300),
        ..Limits::default()
    };
    for (path, slow) in [("/mute", false), ("/drip", true), ("/stall", true)] {
        let started = Instant::now();
        let error = fetch(&within(limits), &host.url(path), 1 << 20).await.unwrap_err();
        let took = started.elapsed();
        let expected =
            if slow { matches!(error, FetchError::Slow(1000)) } else { matches!(error, FetchError::Late(2)) };
        assert!(expected, "{path}: {error:?}");
        assert!(took < Duration::from_secs(10), "{path}: {took:?}");
        assert_eq!(error.blame(), Blame::Host);
    }
    // Fast enough, and too long.
    let patient = Limits { pace: 1, ..limits };
    let error = fetch(&within(patient), &host.url("/drip"), 1 << 20).await.unwrap_err();
    assert!(matches!(error, FetchError::Late(2)), "{error:?}");
}

#[tokio::test]
async fn what_is_packed_is_not_taken() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..200 {
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    println!("a bomb of {} bytes that unfolds to {}", bomb.len(), 200 << 20);
    let host = Host::new(move |path| {
        let encoding = path.trim_start_matches('/');
        answer(
            "200 OK",
            &format!("content-encoding: {encoding}\r\ncontent-length: {}\r\n", bomb.len()),
            &bomb,
        )
    })
    .await;
    let fetcher = within(Limits::default());
    for encoding in ["gzip", "GZIP", "br", "zstd", "deflate", "x-gzip", "identity,gzip", "nonsense"] {
        let error = fetch(&fetcher, &host.url(&format!("/{encoding}")), 1 << 30).await.unwrap_err();
        assert!(matches!(error, FetchError::Encoded), "{encoding}: {error:?}");
    }
    assert!(host.heads().iter().all(|head| head.contains("accept-encoding: identity\r\n")));
    // Where nothing is said of packing it is a file like another, and counted as it comes.
    let taken = fetch(&fetcher, &host.url("/identity"), 1 << 30).await.unwrap();
    assert_eq!(&taken[..2], [0x1F, 0x8B]);
}

#[tokio::test]
async fn parts_and_lies_are_not_taken_for_the_whole() {
    let host = Host::new(|path| match path {
        "/part" => {
            answer("206 Partial Content", "content-range: bytes 0-1/9\r\ncontent-length: 2\r\n", b"ab")
        }
        "/claims" => answer("200 OK", "content-range: bytes 0-1/9\r\ncontent-length: 2\r\n", b"ab"),
        "/short" => answer("200 OK", "content-length: 9\r\n", b"ab"),
        "/long" => answer("200 OK", "content-length: 2\r\n", b"abcdef"),
        "/cut" => answer("200 OK", "transfer-encoding: chunked\r\n", b"5\r\nab"),
        "/two" => answer("200 OK", "content-length: 2\r\ncontent-length: 6\r\n", b"abcdef"),
        "/nothing" => Vec::new(),
        "/noise" => b"\x00\x01\x02 not http at all\r\n\r\n".to_vec(),
        "/empty" => answer("204 No Content", "", b""),
        "/gone" => answer("404 Not Found", "content-length: 3\r\n", b"no!"),
        "/closed" => answer("403 Forbidden", "content-length: 0\r\n", b""),
        "/ill" => answer("503 Unavailable", "content-length: 0\r\n", b""),
        _ => answer("200 OK", &"x: y\r\n".repeat(1000), b""),
    })
    .await;
    let fetcher = within(Limits::default());
    for (path, expected) in [
        ("/part", "Partial"),
        ("/claims", "Partial"),
        ("/short", "Broken"),
        ("/cut", "Broken"),
        ("/two", "Broken"),
        ("/nothing", "Broken"),
        ("/noise", "Broken"),
        ("/empty", "Status(204)"),
        ("/gone", "Status(404)"),
        ("/closed", "Status(403)"),
        ("/ill", "Status(503)"),
        ("/heads", "Broken"),
    ] {
        let error = fetch(&fetcher, &host.url(path), 100).await.unwrap_err();
        assert_eq!(format!("{error:?}"), expected, "{path}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
    // What follows a file that has ended is not looked at.
    assert_eq!(fetch(&fetcher, &host.url("/long"), 100).await.unwrap(), b"ab");
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://127.0.0.1:{}/?signature=sesame", nobody.local_addr().unwrap().port());
    drop(nobody);
    let error = fetch(&fetcher, &address, 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("sesame"));
}

#[tokio::test]
async fn a_connection_that_is_reset_is_told_from_a_file_that_ends() {
    let host = Host::raw("127.0.0.1:0", |mut stream, _| async move {
        stream.write_all(&answer("200 OK", "content-length: 100\r\n", b"half")).await.unwrap();
        // Reset, rather than closed.
        stream.set_zero_linger().unwrap();
    })
    .await;
    let error = fetch(&within(Limits::default()), &host.url("/"), 1000).await.unwrap_err();
    assert!(matches!(error, FetchError::Broken), "{error:?}");
}
