//! Writes typed clients for endpoints.
//!
//! It reads the static tables that every endpoint carries, and nothing else: the same endpoints give the same bytes.
//! Part of each package is the same for every server and lies beside this file as real TypeScript and Python.

mod api;
mod names;
mod python;
mod text;
mod typescript;

use std::collections::BTreeMap;

use comfyport_endpoint::Endpoint;

/// What to write a client in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A package of ECMAScript modules without dependencies, for browsers and Node.
    TypeScript,
    /// A package for Python 3.10 and later that uses `httpx`.
    Python,
}

/// The files of a client by their path, with `/` between folders.
///
/// `codes` are the codes of problems that the server may answer with.
pub fn generate(language: Language, endpoints: &[&Endpoint], codes: &[&str]) -> BTreeMap<String, String> {
    let api = api::Api::of(endpoints, codes);
    match language {
        Language::TypeScript => typescript::files(&api),
        Language::Python => python::files(&api),
    }
}
