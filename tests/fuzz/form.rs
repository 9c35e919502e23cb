//! Forms, as they come over the wire: whole, changed, and in pieces of any size.

use axum::{
    body::Body,
    http::{Request, header::CONTENT_TYPE},
};
use bytes::Bytes;
use comfyport_endpoint::{DecodeLimits, Endpoint, Held, Part, PartValue};
use comfyport_server::form::{self, FormLimits};
use fastrand::Rng;
use futures_util::{FutureExt as _, stream};

use crate::{mutate, request};

const BODY: usize = 64 << 10;
const PARTS: usize = 24;

/// What a part is to be read as.
struct Wanted {
    name: String,
    filename: Option<String>,
    content_type: Option<&'static str>,
    data: Vec<u8>,
}

fn wanted(endpoint: &Endpoint, random: &mut Rng) -> Vec<Wanted> {
    let mut parts = Vec::new();
    for field in endpoint.fields.iter().filter(|field| field.required || random.bool()).collect::<Vec<_>>() {
        let is_file = random.u8(..4) == 0;
        let data = if is_file {
            (0..random.usize(..4000)).map(|_| random.u8(..)).collect()
        } else {
            match request::value(field, random) {
                serde_json::Value::String(text) => text.into_bytes(),
                other => other.to_string().into_bytes(),
            }
        };
        parts.push(Wanted {
            name: field.name.to_string(),
            filename: is_file.then(|| "a picture.png".to_owned()),
            content_type: is_file.then_some("image/png"),
            data,
        });
    }
    parts
}

fn write(parts: &[Wanted], boundary: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", part.name);
        if let Some(filename) = &part.filename {
            head += &format!("; filename=\"{filename}\"");
        }
        if let Some(content_type) = part.content_type {
            head += &format!("\r\nContent-Type: {content_type}");
        }
        body.extend(head.bytes());
        body.extend(b"\r\n\r\n");
        body.extend(&part.data);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").bytes());
    body
}

/// Hands it over in pieces.
fn in_pieces(mut body: Bytes, random: &mut Rng) -> Body {
    let mut pieces = Vec::new();
    let most = if random.bool() { 8 } else { 3000 };
    while !body.is_empty() && pieces.len() < 2000 {
        pieces.push(Ok::<_, std::io::Error>(body.split_to(random.usize(1..=most).min(body.len()))));
    }
    pieces.push(Ok(body));
    Body::from_stream(stream::iter(pieces))
}

fn is(part: &Part, wanted: &Wanted) -> bool {
    part.name == wanted.name
        && match &part.value {
            PartValue::Text(text) => wanted.filename.is_none() && text.as_bytes() == wanted.data,
            PartValue::File { data, filename, content_type } => {
                *data == wanted.data
                    && *filename == wanted.filename
                    && content_type.as_deref() == wanted.content_type
            }
        }
}

pub(crate) fn run(random: &mut Rng) -> bool {
    let endpoint = request::endpoint(random);
    let boundary = format!("----{}", random.u64(..));
    let parts = wanted(endpoint, random);
    let mut body = write(&parts, &boundary);
    let is_whole = random.bool();
    let mut declared = format!("multipart/form-data; boundary={boundary}").into_bytes();
    if !is_whole {
        mutate::bytes(&mut body, random);
        if random.u8(..8) == 0 {
            mutate::bytes(&mut declared, random);
        }
    }
    let limits = FormLimits { body: BODY, parts: PARTS };
    let fits = body.len() <= BODY && parts.len() <= PARTS;
    let mut request = Request::post("/").body(in_pieces(body.into(), random)).unwrap();
    let Ok(declared) = axum::http::HeaderValue::from_bytes(&declared) else { return false };
    request.headers_mut().insert(CONTENT_TYPE, declared);
    let read = form::read(request, &limits).now_or_never().expect("all of it is there");
    if is_whole && fits {
        let read = read.as_ref().expect("a form that is in order");
        assert_eq!(read.len(), parts.len());
        assert!(read.iter().zip(&parts).all(|(part, wanted)| is(part, wanted)), "not what was sent");
    }
    let Ok(read) = read else { return false };
    assert!(read.len() <= PARTS);
    for part in &read {
        assert!(!part.name.is_empty() && part.name.len() <= 200 && !part.name.chars().any(char::is_control));
    }
    let limits = DecodeLimits { media_bytes: 1 << 20, ..DecodeLimits::default() };
    request::judge(Held::Static(endpoint).read_parts(read, &limits).finish(), &limits) || is_whole
}
