//! Callers that hold on to connections, and requests that no HTTP library would send.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::process::Comfyport;

const SHORT_HEAD: (&str, &str) = ("COMFYPORT_SERVER_HEADER_TIMEOUT_S", "1");

/// Everything until the server ends the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "still open: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks on a connection of its own: one that waited for its next request may just be ended.
async fn alive(server: &Comfyport) {
    server.expect(server.get("/health").header("connection", "close"), 200).await;
}

fn problem(answer: &str) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    assert!(head.to_ascii_lowercase().contains("content-type: application/problem+json"), "{head}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_half_sent_heads_are_closed_while_others_are_served() {
    let server = Comfyport::simulated_with(&[SHORT_HEAD]);
    let mut streams: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for stream in streams.iter_mut().step_by(2) {
        stream.write_all(b"POST /image/resize HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    }
    alive(&server).await;
    for stream in &mut streams {
        assert!(!rest(stream).contains("200 OK"));
    }
    alive(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_cap_wait_for_a_place() {
    let server = Comfyport::simulated_with(&[SHORT_HEAD, ("COMFYPORT_SERVER_MAX_CONNECTIONS", "4")]);
    let holding: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
    alive(&server).await;
    drop(holding);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_answered_408() {
    let server = Comfyport::simulated_with(&[("COMFYPORT_SERVER_BODY_TIMEOUT_S", "1")]);
    let mut stream = server.connect();
    stream
        .write_all(b"POST /image/resize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        .unwrap();
    assert_eq!(problem(&rest(&mut stream))["code"], "slow_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_with_and_without_a_length() {
    let server = Comfyport::simulated_with(&[("COMFYPORT_SERVER_MAX_BODY_BYTES", "100000")]);
    let post = "POST /image/resize HTTP/1.1\r\nHost: localhost\r\n";
    let mut declared = server.connect();
    declared
        .write_all(format!("{post}Content-Length: 1000000000\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!(problem(&rest(&mut declared))["code"], "too_large");

    let mut endless = server.connect();
    endless.write_all(format!("{post}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    // A gigabyte would follow; the server ends it long before.
    let sent = (0..16_384).take_while(|_| endless.write_all(&chunk).is_ok()).count();
    assert!(sent < 1024, "{sent} chunks of 64 KiB were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_given_up() {
    let server = Comfyport::simulated_with(&[("COMFYPORT_SERVER_WRITE_TIMEOUT_S", "1")]);
    let mut stream = server.connect();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let (until, mut given_up) = (Instant::now() + Duration::from_secs(30), false);
    while !given_up && Instant::now() < until {
        let sent = stream.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
        given_up =
            sent.is_err_and(|error| !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    }
    assert!(given_up, "the connection is still open");
    alive(&server).await;
}

/// Heads that two readers may understand differently, or that nobody can understand.
const UNREADABLE: &[(&str, &str)] = &[
    (
        "both lengths",
        "POST /image/resize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "both lengths, the other way",
        "POST /image/resize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "POST /image/resize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{}  ",
    ),
    (
        "a list of lengths",
        "POST /image/resize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4, 5\r\n\r\n{}  ",
    ),
    ("a negative length", "POST /image/resize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"),
    ("a signed length", "POST /image/resize HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\n{}  "),
    (
        "a length in hexadecimal",
        "POST /image/resize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x4\r\n\r\n{}  ",
    ),
    (
        "an overlong length",
        "POST /image/resize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ),
    (
        "another coding",
        "POST /image/resize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in HTTP/1.0",
        "POST /image/resize HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("a folded header", "GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: a\r\n b\r\n\r\n"),
    ("bare line feeds", "GET /health HTTP/1.1\nHost: localhost\n\n"),
    ("one bare line feed", "GET /health HTTP/1.1\r\nHost: localhost\nX-A: a\r\n\r\n"),
    ("a bare carriage return", "GET /health HTTP/1.1\r\nHost: localhost\rX-A: a\r\n\r\n"),
    ("a NUL in a header", "GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\n\r\n"),
    ("a NUL in the path", "GET /hea\0lth HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("a space before the colon", "GET /health HTTP/1.1\r\nHost: localhost\r\nX-A : a\r\n\r\n"),
    ("a header without a colon", "GET /health HTTP/1.1\r\nHost: localhost\r\nX-A\r\n\r\n"),
    ("an empty name", "GET /health HTTP/1.1\r\nHost: localhost\r\n: a\r\n\r\n"),
    ("no version", "GET /health\r\nHost: localhost\r\n\r\n"),
    ("another version", "GET /health HTTP/3.7\r\nHost: localhost\r\n\r\n"),
    ("no HTTP at all", "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\r\n\r\n"),
];

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_heads_are_refused_with_a_problem_and_the_connection_ends() {
    let server = Comfyport::simulated();
    for (what, head) in UNREADABLE {
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let answer = rest(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
        assert!(
            answer.contains("\r\nx-request-id: ") && answer.contains("x-comfyport-engine: simulator"),
            "{what}"
        );
        let problem = problem(&answer);
        assert_eq!(problem["code"], "malformed_request", "{what}");
        assert!(answer.contains(problem["request_id"].as_str().unwrap()), "{what}");
    }
    let mut stream = server.connect();
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1 << 20));
    // The server may end the connection before all of it is sent.
    stream.write_all(long.as_bytes()).ok();
    stream.shutdown(Shutdown::Write).ok();
    assert_eq!(problem(&rest(&mut stream))["code"], "head_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_requests_share_a_connection_and_chunked_ones_end_it() {
    let server = Comfyport::simulated();
    let mut stream = server.connect();
    let one = "POST /sd15/txt2img:check HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n{\n\"prompt\":\"a\"}";
    let chunked =
        "POST /sd15/txt2img:check HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream
        .write_all(format!("{one}\r\n{one}{chunked}f\r\n{{\n\"prompt\":\"a\"}}\r\n0\r\n\r\n{one}").as_bytes())
        .unwrap();
    assert_eq!(rest(&mut stream).matches("HTTP/1.1 200 OK").count(), 3);
}
