//! Decoding, seen from outside.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::LazyLock;

use comfyport_endpoint::{
    Advanced, Choice, DecodeLimits, Decoded, Endpoint, FaultKind, Faults, Field,
    Held::{self, Static},
    Image, Kind, Part, PartValue, Piece, Request, Seed, Table, Template,
};
use proptest::prelude::*;

#[derive(Choice, Debug, Clone)]
enum Scheduler {
    #[choice("normal")]
    Normal,
    #[choice("karras")]
    Karras,
}

static ADVANCED: &[Field] = &[
    Field::new("denoise", Kind::Float { min: 0.0, max: 1.0 }, Some("1.0"), &[Static("3.denoise")]),
    Field::new("second_seed", Kind::Seed { min: 0, max: 10 }, None, &[Static("4.seed")]),
    Field::new("size", Kind::NumberChoice { options: Static(&[6, 10]) }, Some("6"), &[]),
];

#[derive(Request, Debug, Clone, Default)]
struct Paint {
    /// What to paint.
    #[input(at = "6.text", role = "prompt", max_length = 40)]
    prompt: String,
    #[input(at = "3.steps", min = 1, max = 100, default = 20)]
    steps: Option<i64>,
    #[input(at = "3.cfg", min = 0, max = 100, default = 8.0)]
    cfg: Option<f64>,
    #[input(at = "3.seed")]
    seed: Option<Seed>,
    #[input(at = "3.scheduler", default = "normal")]
    scheduler: Option<Scheduler>,
    #[input(at = "9.image")]
    image: Option<Image>,
    #[input(at = "4.ckpt_name", folder = "checkpoints", default = "a.safetensors")]
    model: Option<String>,
    #[input(name = "type", default = true)]
    kind: Option<bool>,
    #[input(table = ADVANCED)]
    advanced: Advanced,
}

static ENDPOINT: Endpoint = Endpoint {
    path: Static("paint"),
    version: None,
    deprecated: None,
    title: Static("Paint"),
    description: Static(""),
    fields: Static(Paint::FIELDS),
    advanced: Static(ADVANCED),
    outputs: Static(&[]),
    models: Static(&[]),
    node_packs: Static(&[]),
    nodes: Static(&[]),
    switches: Static(&[]),
    rules: Static(&[]),
    template: Template {
        pieces: Static(&[
            Piece::Text(Static("{\"text\":")),
            Piece::Field(0),
            Piece::Text(Static(",\"steps\":")),
            Piece::Field(1),
            Piece::Text(Static(",\"cfg\":")),
            Piece::Field(2),
            Piece::Text(Static(",\"seed\":")),
            Piece::Field(3),
            Piece::Text(Static(",\"scheduler\":")),
            Piece::Field(4),
            Piece::Text(Static(",\"denoise\":")),
            Piece::Advanced(0),
            Piece::Text(Static(",\"prefix\":")),
            Piece::Prefix(Static("57:9")),
            Piece::Text(Static("}")),
        ]),
    },
    openapi: Static("{}"),
    new_request: |_| Box::new(Paint::default()),
};

/// Decodes into the struct, and makes sure that a table takes and refuses the same.
fn decode(body: &str) -> Result<Decoded, Faults> {
    static TABLE: LazyLock<Held<Endpoint>> =
        LazyLock::new(|| Held::from(Endpoint { new_request: Table::request, ..ENDPOINT.clone() }));
    let limits = DecodeLimits::default();
    let decoded = ENDPOINT.decode_json(body.as_bytes(), &limits);
    let twin = TABLE.read_json(body.as_bytes(), &limits).finish();
    match (&decoded, &twin) {
        (Ok(decoded), Ok(twin)) => {
            assert_eq!(prompt(decoded), prompt(twin), "{body}");
            assert_eq!(format!("{:?}", decoded.models()), format!("{:?}", twin.models()), "{body}");
        }
        (Err(faults), Err(twin)) => assert_eq!(faults, twin, "{body}"),
        _ => panic!("{decoded:?} and {twin:?} for {body}"),
    }
    decoded
}

fn prompt(decoded: &Decoded) -> serde_json::Value {
    let mut out = Vec::new();
    decoded.write_prompt("runs/1", &mut out);
    serde_json::from_slice(&out).unwrap()
}

fn fault(body: &str) -> (String, String, FaultKind) {
    let fault = decode(body).unwrap_err().0.remove(0);
    (fault.pointer, fault.message, fault.code)
}

#[test]
fn values_and_defaults_reach_the_prompt() {
    let mut decoded =
        decode(r#"{"prompt":"a \"fox\"\n","cfg":7,"seed":18446744073709551615,"advanced":{"denoise":0.5}}"#)
            .unwrap();
    decoded.draw_seeds(&mut || 7);
    let expected = serde_json::json!({
        "text": "a \"fox\"\n", "steps": 20, "cfg": 7.0, "seed": u64::MAX, "scheduler": "normal", "denoise": 0.5,
        "prefix": "runs/1/57-9",
    });
    assert_eq!(prompt(&decoded), expected);
    let mut params = Vec::new();
    decoded.write_params(&mut params);
    let params: serde_json::Value = serde_json::from_slice(&params).unwrap();
    assert_eq!(params["advanced"], serde_json::json!({"denoise": 0.5, "second_seed": 7, "size": 6}));
    assert_eq!(params["model"], "a.safetensors");
}

#[test]
fn every_fault_is_named_at_once() {
    let body = r#"{"stpes":1,"steps":0,"cfg":"7","seed":-1,"scheduler":"karas","model":"../x","type":1,
        "advanced":{"denoise":2,"size":7,"sampler":1},"steps":3,"denoise":1,"image":"::"}"#;
    let faults = decode(body).unwrap_err().0;
    let found: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    let expected = [
        "/stpes",
        "/steps",
        "/cfg",
        "/seed",
        "/scheduler",
        "/model",
        "/type",
        "/advanced/denoise",
        "/advanced/size",
        "/advanced/sampler",
        "/steps",
        "/denoise",
        "/image",
        "/prompt",
    ];
    assert_eq!(found, expected);
    let suggestion =
        |pointer: &str| faults.iter().find(|fault| fault.pointer == pointer).unwrap().did_you_mean.clone();
    assert_eq!(suggestion("/stpes").as_deref(), Some("steps"));
    assert_eq!(suggestion("/scheduler").as_deref(), Some("karras"));
    assert_eq!(suggestion("/denoise").as_deref(), Some("advanced.denoise"));
    assert!(faults.iter().all(|fault| fault.code == FaultKind::Invalid));
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in ["[1]", "{\"prompt\":\"x\"", "{\"steps\":NaN}", "nonsense", "{} {}", "{\"a\":\"\u{1}\"}"] {
        assert_eq!(fault(body).2, FaultKind::Malformed, "{body}");
    }
    assert_eq!(fault(&format!("{{\"a\":{}", "[".repeat(1_000_000))).2, FaultKind::Malformed);
    assert!(ENDPOINT.decode_json(b"\xff", &DecodeLimits::default()).is_err());
}

#[test]
fn faults_are_bounded_and_so_is_the_search_for_them() {
    let members: Vec<String> = (0..300_000).map(|index| format!("\"k{index}\":1")).collect();
    let faults = decode(&format!("{{{}}}", members.join(","))).unwrap_err();
    assert_eq!(faults.0.len(), DecodeLimits::default().faults);
}

#[test]
fn odd_numbers_and_texts_are_refused_in_our_words() {
    for (body, pointer) in [
        (r#"{"prompt":"x","seed":18446744073709551616}"#, "/seed"),
        (r#"{"prompt":"x","seed":1e999}"#, "/seed"),
        (r#"{"prompt":"x","cfg":1e999}"#, "/cfg"),
        (r#"{"prompt":"x","steps":1.5}"#, "/steps"),
        (r#"{"prompt":"x","steps":true}"#, "/steps"),
        (r#"{"prompt":"\ud800"}"#, "/prompt"),
        (r#"{"prompt":"a\u0000"}"#, "/prompt"),
        (r#"{"prompt":null}"#, "/prompt"),
        (r#"{"prompt":"x","model":"x.png [output]"}"#, "/model"),
        (r#"{"prompt":"x","model":"/etc/passwd"}"#, "/model"),
        (r#"{"prompt":"x","client_id":"me"}"#, "/client_id"),
    ] {
        assert_eq!(fault(body).0, pointer, "{body}");
    }
    assert!(fault(r#"{"prompt":"x","seed":-1}"#).1.contains("leave it out"));
    assert!(decode(&format!("{{\"prompt\":\"{}\"}}", "é".repeat(41))).is_err());
    assert!(decode(&format!("{{\"prompt\":\"{}\"}}", "é".repeat(40))).is_ok());
    assert!(decode(r#"{"prompt":"x","steps":20.0,"seed":9007199254740993,"cfg":null}"#).is_ok());
}

#[test]
fn files_come_in_many_spellings() {
    for image in [
        "\"aGk=\"",
        "\"aGk\"",
        "\"aG\\nk=\"",
        "\"data:image/png;base64,aGk=\"",
        "{\"base64\":\"aGk=\",\"filename\":\"a.png\"}",
    ] {
        let mut decoded = decode(&format!("{{\"prompt\":\"x\",\"image\":{image}}}")).unwrap();
        let (field, media) = decoded.media_mut().remove(0);
        assert_eq!(&*field.name, "image");
        let comfyport_endpoint::MediaSource::Bytes { data, .. } = &media.source else { panic!("{image}") };
        assert_eq!(&data[..], b"hi");
    }
    assert!(fault(r#"{"prompt":"x","image":"aG*k"}"#).1.contains("character 3"));
    let limits = DecodeLimits { media_bytes: 10, ..DecodeLimits::default() };
    let large = ENDPOINT
        .decode_json(format!("{{\"prompt\":\"x\",\"image\":\"{}\"}}", "A".repeat(100)).as_bytes(), &limits);
    assert_eq!(large.unwrap_err().0[0].code, FaultKind::TooLarge);
}

#[test]
fn forms_are_read_by_the_kind_of_each_field() {
    let text =
        |name: &str, text: &str| Part { name: name.to_owned(), value: PartValue::Text(text.to_owned()) };
    let file = PartValue::File { data: "hi".into(), filename: None, content_type: None };
    let parts = vec![
        text("prompt", "20"),
        text("steps", "30"),
        text("cfg", ""),
        text("type", "off"),
        text("advanced.denoise", "0.25"),
        Part { name: "image".to_owned(), value: file },
    ];
    let decoded = ENDPOINT.decode_parts(parts, &DecodeLimits::default()).unwrap();
    let prompt = prompt(&decoded);
    assert_eq!((&prompt["text"], &prompt["steps"], &prompt["cfg"]), (&"20".into(), &30.into(), &8.0.into()));
    assert_eq!(prompt["denoise"], 0.25);
    let parts = vec![text("prompt", "x"), text("advanced", "{\"denoise\":"), text("options", "[")];
    assert_eq!(ENDPOINT.decode_parts(parts, &DecodeLimits::default()).unwrap_err().0.len(), 2);
}

proptest! {
    #[test]
    fn nothing_panics(body in ".{0,200}", json in r#"\{("(prompt|steps|seed|image|advanced|options)":("x"|[0-9.e+-]{1,8}|\{\}|\[\]|null),?){0,4}\}"#) {
        drop(decode(&body));
        drop(decode(&json));
    }

    #[test]
    fn a_range_is_what_it_says(steps in -200_i64..200) {
        let accepted = decode(&format!("{{\"prompt\":\"x\",\"steps\":{steps}}}")).is_ok();
        prop_assert_eq!(accepted, (1..=100).contains(&steps));
    }

    #[test]
    fn seeds_are_exact(seed: u64) {
        let decoded = decode(&format!("{{\"prompt\":\"x\",\"seed\":{seed}}}")).unwrap();
        prop_assert_eq!(prompt(&decoded)["seed"].as_u64(), Some(seed));
    }
}
