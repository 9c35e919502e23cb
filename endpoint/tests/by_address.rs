//! Model files that callers tell by their address, seen from outside.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::LazyLock;

use comfyport_endpoint::{
    Advanced, DecodeLimits, Decoded, Endpoint, Faults, Field,
    Held::{self, Static},
    Kind, Piece, Request, Table, Template,
};
use serde_json::{Value, json};

static ADVANCED: &[Field] = &[Field::new(
    "vae",
    Kind::Model { folder: Static("vae"), from_url: true },
    Some("\"own.safetensors\""),
    &[Static("5.vae_name")],
)];

#[derive(Request, Debug, Clone, Default)]
struct Draw {
    #[input(at = "4.ckpt_name", folder = "checkpoints", from_url, default = "a.safetensors")]
    checkpoint: Option<String>,
    #[input(at = "6.model_name", folder = "upscale_models", default = "b.pth")]
    upscaler: Option<String>,
    #[input(table = ADVANCED)]
    advanced: Advanced,
}

static ENDPOINT: Endpoint = Endpoint {
    path: Static("draw"),
    version: None,
    deprecated: None,
    title: Static("Draw"),
    description: Static(""),
    fields: Static(Draw::FIELDS),
    advanced: Static(ADVANCED),
    outputs: Static(&[]),
    models: Static(&[]),
    node_packs: Static(&[]),
    nodes: Static(&[]),
    switches: Static(&[]),
    rules: Static(&[]),
    template: Template {
        pieces: Static(&[
            Piece::Text(Static("[")),
            Piece::Field(0),
            Piece::Text(Static(",")),
            Piece::Field(1),
            Piece::Text(Static(",")),
            Piece::Advanced(0),
            Piece::Text(Static("]")),
        ]),
    },
    openapi: Static("{}"),
    new_request: |_| Box::new(Draw::default()),
};

/// What a struct and a table make of a request, which is the same.
fn decode(body: &Value) -> [Result<Decoded, Faults>; 2] {
    static TABLE: LazyLock<Held<Endpoint>> =
        LazyLock::new(|| Held::from(Endpoint { new_request: Table::request, ..ENDPOINT.clone() }));
    let (body, limits) = (body.to_string(), DecodeLimits::default());
    let both =
        [ENDPOINT.decode_json(body.as_bytes(), &limits), TABLE.read_json(body.as_bytes(), &limits).finish()];
    assert_eq!(both[0].as_ref().err(), both[1].as_ref().err(), "{body}");
    both
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

fn refusal(field: &str, value: &str) -> String {
    let [faults, _] = decode(&json!({field: value}));
    let Faults(mut faults) = faults.unwrap_err();
    assert_eq!((faults.len(), &*faults[0].pointer), (1, &*format!("/{field}")), "{value}");
    faults.remove(0).message
}

#[test]
fn an_address_stands_for_a_file_until_the_engine_has_a_name_for_it() {
    let vae = "http://host/d/decoder.SFT";
    let body = json!({
        "checkpoint": "HTTPS://Host/a/ink%20wash.safetensors?token=sesame#x", "advanced": {"vae": vae},
    });
    for decoded in decode(&body) {
        let mut decoded = decoded.unwrap();
        let told = |decoded: &Decoded| {
            let models = decoded.models().into_iter();
            models.map(|one| (one.field.name.to_string(), one.name, one.url)).collect::<Vec<_>>()
        };
        let url = "https://host/a/ink%20wash.safetensors".to_owned();
        let expected = [
            ("checkpoint".to_owned(), "ink wash.safetensors".to_owned(), Some(url.clone())),
            ("vae".to_owned(), "decoder.SFT".to_owned(), Some(vae.to_owned())),
        ];
        assert_eq!(told(&decoded), expected);
        let prompt = written(|out| decoded.write_prompt("", out));
        assert_eq!(prompt, json!(["ink wash.safetensors", "b.pth", "decoder.SFT"]));
        let params = written(|out| decoded.write_params(out));
        assert_eq!((&params["checkpoint"], &params["advanced"]["vae"]), (&json!(url), &json!(vae)));
        assert!(!format!("{decoded:?}").contains("sesame"));
        assert_eq!(decoded.decided_models(), ["4.ckpt_name", "5.vae_name"]);
        let places: Vec<_> = decoded.models().iter().map(|one| one.place).collect();
        for (place, file) in places.into_iter().zip(["from-url/ink wash.safetensors", "x/decoder.SFT"]) {
            decoded.name_model(place, file.to_owned());
        }
        let prompt = written(|out| decoded.write_prompt("", out));
        assert_eq!(prompt, json!(["from-url/ink wash.safetensors", "b.pth", "x/decoder.SFT"]));
        let params = written(|out| decoded.write_params(out));
        assert_eq!(params["checkpoint"], "from-url/ink wash.safetensors");
        assert!(decoded.models().iter().all(|one| one.url.is_none()));
    }
}

#[test]
fn names_are_taken_as_before() {
    for decoded in decode(&json!({"checkpoint": "sub/a.ckpt", "upscaler": "c.pth"})) {
        let decoded = decoded.unwrap();
        let names: Vec<_> = decoded.models().into_iter().map(|one| (one.name, one.url)).collect();
        assert_eq!(names, [("sub/a.ckpt".to_owned(), None), ("c.pth".to_owned(), None)]);
        let prompt = written(|out| decoded.write_prompt("", out));
        assert_eq!(prompt, json!(["sub/a.ckpt", "c.pth", "own.safetensors"]));
    }
    assert!(refusal("checkpoint", "../a.safetensors").contains("must be a file name"));
    assert!(refusal("checkpoint", &"a".repeat(1001)).contains("at most 1000 characters"));
}

#[test]
fn addresses_are_refused_without_repeating_them() {
    let address = |length: usize| {
        let (start, end) = ("https://host/", ".safetensors");
        format!("{start}{}{end}", "a".repeat(length - start.len() - end.len()))
    };
    assert!(decode(&json!({"checkpoint": address(2048)})).iter().all(Result::is_ok));
    for (value, said) in [
        (&*address(2049), "at most 2048 bytes"),
        ("hf://o/n/secret.safetensors", "must be an http or https address"),
        ("ftp://host/secret.safetensors", "must be an http or https address"),
        ("https://me:secret@host/x.safetensors", "a user name or a password"),
        ("https://host/api/download/models/1?token=secret", "does not end in the name of a model file"),
        ("https://host/secret.exe", "does not end in the name of a model file"),
        ("https://host/a%2F..%2Fsecret.safetensors", "does not end in the name of a model file"),
        ("https://host/a%0Asecret.safetensors", "must be a file name"),
        ("https://host/a%3Asecret.safetensors", "must be a file name"),
    ] {
        let message = refusal("checkpoint", value);
        assert!(message.contains(said) && !message.contains("secret"), "{value}: {message}");
        let [faults, _] = decode(&json!({"advanced": {"vae": value}}));
        assert_eq!(faults.unwrap_err().0[0].pointer, "/advanced/vae");
    }
    let message = refusal("upscaler", "https://host/secret.safetensors");
    assert!(message.contains("sets `from_url = true`") && !message.contains("secret"), "{message}");
}
