//! Bodies made to break a parser: never an answer 5xx, never a crash.

use serde_json::{Value, json};

use crate::{process::Comfyport, requests};

/// Bodies, and the statuses that are right for them.
fn odd_bodies() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let text = |value: &str| value.as_bytes().to_vec();
    let many: String = (0..1_000_000).map(|index| format!(",\"k{index}\":1")).collect();
    vec![
        ("10^6 arrays", [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat(), &[400]),
        ("10^6 objects", "{\"prompt\":".repeat(1_000_000).into_bytes(), &[400]),
        (
            "deep below a parameter",
            format!("{{\"prompt\":{}1{}}}", "[".repeat(9000), "]".repeat(9000)).into(),
            &[400, 422],
        ),
        ("10^6 keys", format!("{{\"prompt\":\"x\"{many}}}").into_bytes(), &[422]),
        ("10 MB string", format!("{{\"prompt\":\"{}\"}}", "x".repeat(10_000_000)).into_bytes(), &[413, 422]),
        ("10 MB name", format!("{{\"{}\":1}}", "x".repeat(10_000_000)).into_bytes(), &[422]),
        ("a key twice", text(r#"{"prompt":"x","prompt":"y"}"#), &[422]),
        ("options twice", text(r#"{"prompt":"x","options":{},"options":{}}"#), &[422]),
        ("NaN", text(r#"{"prompt":"x","cfg":NaN}"#), &[400]),
        ("Infinity", text(r#"{"prompt":"x","cfg":-Infinity}"#), &[400]),
        ("1e999", text(r#"{"prompt":"x","cfg":1e999}"#), &[400, 422]),
        ("2^64 as a seed", text(r#"{"prompt":"x","seed":18446744073709551616}"#), &[422]),
        ("a negative seed", text(r#"{"prompt":"x","seed":-1}"#), &[422]),
        ("half a seed", text(r#"{"prompt":"x","seed":0.5}"#), &[422]),
        (
            "a long number",
            format!("{{\"prompt\":\"x\",\"cfg\":{}}}", "9".repeat(100_000)).into_bytes(),
            &[400, 422],
        ),
        ("a lone surrogate", text(r#"{"prompt":"\ud800"}"#), &[400, 422]),
        ("a swapped pair", text(r#"{"prompt":"\udc00\ud800"}"#), &[400, 422]),
        ("an unknown escape", text(r#"{"prompt":"\x41"}"#), &[400, 422]),
        ("a control character", text("{\"prompt\":\"a\u{1}b\"}"), &[400, 422]),
        ("not UTF-8", b"{\"prompt\":\"\xff\xfe\"}".to_vec(), &[400]),
        ("an overlong encoding", b"{\"prompt\":\"\xc0\xaf\"}".to_vec(), &[400]),
        ("UTF-16", "{\"prompt\":\"x\"}".encode_utf16().flat_map(u16::to_le_bytes).collect(), &[400]),
        ("trailing bytes", text(r#"{"prompt":"x"} {"prompt":"y"}"#), &[400]),
        ("a trailing comma", text(r#"{"prompt":"x",}"#), &[400]),
        ("a comment", text("{\"prompt\":\"x\" /* why */}"), &[400]),
        ("single quotes", text("{'prompt':'x'}"), &[400]),
        ("an array", text("[]"), &[400]),
        ("a string", text("\"prompt\""), &[400]),
        ("null", text("null"), &[400]),
        ("cut short", text(r#"{"prompt":"x"#), &[400]),
        ("a graph", text(r#"{"prompt":{"3":{"class_type":"KSampler","inputs":{}}}}"#), &[422]),
        ("a client id", text(r#"{"prompt":"x","client_id":"me","extra_data":{}}"#), &[422]),
        ("advanced as a list", text(r#"{"prompt":"x","advanced":[1]}"#), &[422]),
        ("options as text", text(r#"{"prompt":"x","options":"fast"}"#), &[422]),
        ("null for what is required", text(r#"{"prompt":null}"#), &[422]),
        (
            "a form in disguise",
            text("--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nx\r\n--b--"),
            &[400],
        ),
        (
            "XML",
            text("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>"),
            &[400],
        ),
        ("zip", b"PK\x03\x04\x14\0\0\0".to_vec(), &[400]),
        ("empty", Vec::new(), &[422]),
        ("a byte order mark alone", "\u{feff}".into(), &[422]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_bodies_are_refused_with_words_of_ours() {
    let server = Comfyport::simulated();
    for (what, body, right) in odd_bodies() {
        let response = server.post("/sd15/txt2img:check").body(body).send().await.unwrap();
        let status = response.status().as_u16();
        let answer = response.text().await.unwrap();
        assert!(right.contains(&status), "{what}: {status} {answer:.300}");
        assert!(answer.len() < 100_000, "{what}: {} bytes of answer", answer.len());
        assert!(answer.starts_with('{') && !answer.contains("/etc/"), "{what}: {answer:.300}");
    }
}

/// A generator of our own: the same variants every time.
struct Variants(u64);

impl Variants {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit.max(1)
    }

    fn of(&mut self, body: &[u8]) -> Vec<u8> {
        const PIECES: &[&[u8]] = &[
            b"\"",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\\",
            b"\\ud83d",
            b"\0",
            b"\xff",
            b"null",
            b"1e400",
            b"-",
            b"18446744073709551616",
            b"\"options\":{\"inline\":1}",
            b"\"advanced\":{}",
            b"data:image/png;base64,",
            b"\xf0\x9f",
        ];
        let mut body = body.to_vec();
        for _ in 0..=self.below(4) {
            let (at, piece) = (self.below(body.len()), PIECES[self.below(PIECES.len())]);
            match self.below(4) {
                0 => body.truncate(at),
                1 => drop(body.splice(at..at, piece.iter().copied())),
                2 => drop(body.splice(at..(at + self.below(6)).min(body.len()), piece.iter().copied())),
                _ => body.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << 3),
            }
        }
        body
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_of_good_requests_never_break_the_server() {
    let server = Comfyport::simulated();
    let (mut variants, picture) = (
        Variants(7),
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    );
    let bodies: &[(&str, Value)] = &[
        (
            "/sd15/txt2img:check",
            json!({"prompt": "a fox", "seed": u64::MAX, "cfg": 7.5, "advanced": {"scheduler": "karras"}, "options": {"timeout_s": 5}}),
        ),
        (
            "/image/resize:check",
            json!({"image": picture, "width": 64, "height": 64, "options": {"inline": true}}),
        ),
        (
            "/sd15/inpaint:check",
            json!({"prompt": "a door", "image": {"base64": picture}, "mask": format!("data:image/png;base64,{picture}")}),
        ),
        ("/wan/txt2video:check", json!({"prompt": "waves", "negative_prompt": ""})),
    ];
    for round in 0..1500 {
        let (path, body) = &bodies[round % bodies.len()];
        let body = variants.of(body.to_string().as_bytes());
        let shown = String::from_utf8_lossy(&body).into_owned();
        let response = server.post(path).body(body).send().await.unwrap();
        let status = response.status().as_u16();
        assert!([200, 400, 413, 415, 422].contains(&status), "{status} for {shown}");
    }
}

/// What ComfyUI would take for a file of its own, or of its machine.
const PATHS: [&str; 20] = [
    "canary.png",
    "canary.png [input]",
    "canary.png [output]",
    "canary.png [temp]",
    "../canary.png",
    "../../canary.png",
    "..\\..\\canary.png",
    "sub/canary.png",
    "/etc/passwd",
    "/etc/passwd [output]",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "C:\\Windows\\win.ini",
    "\\\\host\\share\\canary.png",
    "~/canary.png",
    "$HOME/canary.png",
    "canary.png\u{0}.jpg",
    "%2e%2e%2fcanary.png",
    "clipspace/canary.png [input]",
    "upload:../canary",
];

#[tokio::test(flavor = "multi_thread")]
async fn names_of_files_of_an_engine_are_no_files() {
    let simulator = Comfyport::simulator();
    let server = Comfyport::in_front_of(simulator.url());
    let forms: [fn(&str) -> Value; 4] = [
        |path| json!(path),
        |path| json!({"url": path}),
        |path| json!({"upload": path}),
        |path| json!({"filename": path}),
    ];
    for path in PATHS {
        for form in forms {
            let problem = server.call("/image/resize", &json!({"image": form(path)}), 422).await;
            let said = problem.to_string();
            assert!(problem["errors"][0]["pointer"].as_str().unwrap().starts_with("/image"), "{said}");
            assert!(!said.contains("root:"), "{said}");
        }
    }
    assert_eq!(requests::prompts(&simulator).await, 0);
}
