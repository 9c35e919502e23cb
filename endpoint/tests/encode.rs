//! What a client writes is what the server reads.

#![allow(clippy::unwrap_used, missing_docs)]

use comfyport_endpoint::{
    Advanced, Artifact, Call, Choice, DecodeLimits, Decoded, Endpoint, Field, Held::Static, Image, Key, Kind,
    Request, Response, Seed, Template,
};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Choice, Debug, Clone)]
enum Scheduler {
    #[choice("normal")]
    Normal,
    #[choice("sgm \"uniform\"")]
    Sgm,
}

static ADVANCED: &[Field] = &[
    Field::new("denoise", Kind::Float { min: 0.0, max: 1.0 }, None, &[]),
    Field::new("method", Kind::Text { max_length: 100 }, None, &[]),
    Field::new("noise_seed", Kind::Seed { min: 0, max: u64::MAX }, None, &[]),
];

#[derive(Request, Debug, Clone, Default)]
struct Paint {
    #[input(at = "6.text")]
    prompt: String,
    #[input(at = "3.steps", min = -100, max = 100, default = 20)]
    steps: Option<i64>,
    #[input(at = "3.cfg", default = 8.0)]
    cfg: Option<f64>,
    #[input(at = "3.seed")]
    seed: Option<Seed>,
    #[input(at = "3.scheduler", default = "normal")]
    scheduler: Option<Scheduler>,
    #[input(at = "9.image")]
    image: Option<Image>,
    #[input(name = "type", default = true)]
    kind: Option<bool>,
    #[input(table = ADVANCED)]
    advanced: Advanced,
}

impl Paint {
    const DENOISE: Key<Self, f64> = Key::at(0);
    const METHOD: Key<Self, String> = Key::at(1);
    const NOISE_SEED: Key<Self, Seed> = Key::at(2);
}

#[derive(Response, Debug)]
struct Painted {
    #[expect(dead_code, reason = "only its shape matters")]
    image: Vec<Artifact>,
}

impl Call for Paint {
    type Response = Painted;
    fn endpoint() -> &'static Endpoint {
        &ENDPOINT
    }
}

static ENDPOINT: Endpoint = Endpoint {
    path: Static("paint"),
    version: None,
    deprecated: None,
    title: Static("Paint"),
    description: Static(""),
    fields: Static(Paint::FIELDS),
    advanced: Static(ADVANCED),
    switches: Static(&[]),
    rules: Static(&[]),
    outputs: Static(&[]),
    models: Static(&[]),
    node_packs: Static(&[]),
    nodes: Static(&[]),
    template: Template { pieces: Static(&[]) },
    openapi: Static("{}"),
    new_request: |_| Box::new(Paint::default()),
};

fn params(decoded: &Decoded) -> Value {
    let mut params = Vec::new();
    decoded.write_params(&mut params);
    serde_json::from_slice(&params).unwrap()
}

/// The parameters after a journey as JSON and as a form, which must be the same.
fn sent(request: &Paint) -> Value {
    let json = ENDPOINT.encode_json(request, None);
    let as_json = params(&ENDPOINT.decode_json(&json, &DecodeLimits::default()).unwrap());
    let parts = ENDPOINT.encode_parts(request, None);
    let as_form = params(&ENDPOINT.decode_parts(parts, &DecodeLimits::default()).unwrap());
    assert_eq!(as_json, as_form);
    as_json
}

#[test]
fn every_kind_of_value_arrives() {
    let request = Paint {
        prompt: "line\n\"two\"".to_owned(),
        steps: Some(-3),
        cfg: Some(2.0),
        seed: Some(Seed(u64::MAX)),
        scheduler: Some(Scheduler::Sgm),
        image: Some(Image::from_bytes("hello", Some("a.png".to_owned()), None)),
        kind: Some(false),
        ..Paint::default()
    };
    let request = request
        .with(Paint::DENOISE, 0.5)
        .with(Paint::METHOD, "a")
        .with(Paint::NOISE_SEED, Seed(u64::MAX - 1));
    let expected = json!({
        "prompt": "line\n\"two\"", "steps": -3, "cfg": 2.0, "seed": u64::MAX, "scheduler": "sgm \"uniform\"",
        "image": {"size": 5}, "type": false,
        "advanced": {"denoise": 0.5, "method": "a", "noise_seed": u64::MAX - 1},
    });
    assert_eq!(sent(&request), expected);
}

#[test]
fn what_is_left_out_is_not_sent() {
    let request = Paint { prompt: "x".to_owned(), ..Paint::default() };
    assert_eq!(ENDPOINT.encode_json(&request, None), br#"{"prompt":"x"}"#);
    assert_eq!(ENDPOINT.encode_parts(&request, None).len(), 1);
    let options = serde_json::value::to_raw_value(&json!({"inline": true})).unwrap();
    let with_options = ENDPOINT.encode_json(&request, Some(&options));
    assert_eq!(with_options, br#"{"prompt":"x","options":{"inline":true}}"#);
    let parts = ENDPOINT.encode_parts(&request, Some(&options));
    let decoded = ENDPOINT.decode_parts(parts, &DecodeLimits::default()).unwrap();
    assert_eq!(decoded.options.unwrap().get(), r#"{"inline":true}"#);
}

#[test]
fn a_number_that_json_cannot_say_is_a_fault_of_its_own_field() {
    let request = Paint { prompt: "x".to_owned(), cfg: Some(f64::NAN), ..Paint::default() };
    let request = request.with(Paint::DENOISE, f64::INFINITY);
    let json = ENDPOINT.encode_json(&request, None);
    let faults = ENDPOINT.decode_json(&json, &DecodeLimits::default()).unwrap_err();
    let pointers: Vec<&str> = faults.0.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/cfg", "/advanced/denoise"]);
}

proptest! {
    #[test]
    fn any_text_and_number_survives(prompt in "[^\\x00]{1,100}", steps in -100_i64..=100, eighths: i32, seed: u64) {
        let cfg = f64::from(eighths) / 8.0;
        let request = Paint {
            prompt: prompt.clone(), steps: Some(steps), cfg: Some(cfg), seed: Some(Seed(seed)), ..Paint::default()
        };
        let sent = sent(&request);
        prop_assert_eq!(&sent["prompt"], &prompt);
        prop_assert_eq!(&sent["steps"], steps);
        prop_assert_eq!(sent["cfg"].as_f64(), Some(cfg));
        prop_assert_eq!(sent["seed"].as_u64(), Some(seed));
    }
}
