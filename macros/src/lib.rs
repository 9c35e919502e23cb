//! The derives behind typed endpoint requests.
//!
//! `comfyport_endpoint` re-exports them. They work on structs written by hand as well as on generated ones:
//!
//! ```
//! use comfyport_endpoint::{
//!     Advanced, Choice, Endpoint, Field, Held::Static, Image, Kind, Piece, Request, Seed, Template,
//! };
//!
//! /// Options that several requests may share.
//! #[derive(Choice, Debug, Clone)]
//! pub enum Method {
//!     #[choice("nearest-exact")]
//!     NearestExact,
//!     #[choice("lanczos")]
//!     Lanczos,
//! }
//!
//! pub static ADVANCED: &[Field] =
//!     &[Field::new("sharpen", Kind::Float { min: 0.0, max: 1.0 }, Some("0.5"), &[Static("2.sharpen")])];
//!
//! #[derive(Request, Debug, Clone, Default)]
//! pub struct Enlarge {
//!     /// What to enlarge.
//!     #[input(at = "1.image")]
//!     pub image: Image,
//!     /// How many times.
//!     #[input(at = "2.factor", min = 1, max = 4, default = 2)]
//!     pub factor: Option<i64>,
//!     /// How to fill in.
//!     #[input(at = "2.method", default = "lanczos")]
//!     pub method: Option<Method>,
//!     #[input(at = ["2.seed", "3.seed"])]
//!     pub seed: Option<Seed>,
//!     #[input(table = ADVANCED)]
//!     pub advanced: Advanced,
//! }
//!
//! static ENDPOINT: Endpoint = Endpoint {
//!     path: Static("enlarge"),
//!     version: None,
//!     deprecated: None,
//!     title: Static("Enlarge"),
//!     description: Static(""),
//!     fields: Static(Enlarge::FIELDS),
//!     advanced: Static(ADVANCED),
//!     outputs: Static(&[]),
//!     models: Static(&[]),
//!     node_packs: Static(&[]),
//!     nodes: Static(&[]),
//!     switches: Static(&[]),
//!     rules: Static(&[]),
//!     template: Template {
//!         pieces: Static(&[Piece::Text(Static("{\"factor\":")), Piece::Field(1), Piece::Text(Static("}"))]),
//!     },
//!     openapi: Static("{}"),
//!     new_request: |_| Box::new(Enlarge::default()),
//! };
//!
//! let body = br#"{"image": "aGVsbG8=", "factor": 3, "advanced": {"sharpen": 1}}"#;
//! let decoded = ENDPOINT.decode_json(body, &Default::default()).unwrap();
//! let mut prompt = Vec::new();
//! decoded.write_prompt("runs/1", &mut prompt);
//! assert_eq!(prompt, br#"{"factor":3}"#);
//!
//! let faults = ENDPOINT.decode_json(br#"{"factor": 9, "methd": "lanczos"}"#, &Default::default()).unwrap_err();
//! let pointers: Vec<_> = faults.0.iter().map(|fault| fault.pointer.as_str()).collect();
//! assert_eq!(pointers, ["/factor", "/methd", "/image"]);
//! assert_eq!(faults.0[1].did_you_mean.as_deref(), Some("method"));
//! ```
//!
//! What cannot be a field is refused at compile time, all of it at once:
//!
//! ```compile_fail
//! #[derive(comfyport_endpoint::Request, Debug, Default)]
//! struct Wrong {
//!     #[input(at = "3.steps", least = 1)]
//!     steps: Option<i64>,
//! }
//! ```

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod attributes;
mod choice;
mod request;
mod response;

/// Implements `Request` for a struct with named fields, and an associated `FIELDS` table.
///
/// `#[input(…)]` on a field takes:
///
/// | key | meaning |
/// |---|---|
/// | `at = "3.steps"` or `at = ["3.steps", "7.steps"]` | the node inputs it sets |
/// | `role = "prompt"` | what it means |
/// | `name = "type"` | the name in JSON, if it is not the field's |
/// | `min`, `max` | a closed range of numbers |
/// | `default = …` | what it is when left out; the field is an `Option` |
/// | `max_length = 1000` | the greatest number of characters |
/// | `options = ["a", "b"]` | examples for text, the only values for whole numbers |
/// | `folder = "checkpoints"` | it is a model file of this folder |
/// | `from_url` | model files and LoRAs may be told by their address, and are fetched from there |
/// | `encoding = "base64"` | how a file reaches the node: `upload_name`, `base64`, `data_url`, `url`, `path` |
/// | `table = ADVANCED` | it holds the values of a table of fields |
///
/// The kind follows from the type: `String`, integers, `f64`, `bool`, `Seed`, `Image`, `Mask`, `Video`, `Audio`,
/// `Model3d`, `FileInput`; any other type is an enum that derives `Choice`. An `Option` may be left out.
#[proc_macro_derive(Request, attributes(input))]
pub fn request(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    request::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `Response` for a struct with a field for each named output.
#[proc_macro_derive(Response)]
pub fn response(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    response::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `Choice` and what a field needs for an enum whose variants carry `#[choice("text")]`.
#[proc_macro_derive(Choice, attributes(choice))]
pub fn choice(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    choice::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
