//! Addresses that model files come from. They are looked at here, never fetched.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::fault::ValueFault;

/// The longest address, in bytes.
const LONGEST: usize = 2048;

/// What an address says.
#[derive(Debug, PartialEq)]
pub(crate) struct Address {
    /// The address without query and fragment, which may hold secrets.
    pub(crate) text: String,
    /// The name of the file, if its path ends in one.
    pub(crate) file: Option<String>,
}

/// Whether a text is meant as an address. No name of a model file has a colon.
pub(crate) fn is_one(text: &str) -> bool {
    text.contains("://")
}

/// Reads an address of a file with one of these endings. What is wrong with it is said without repeating it.
pub(crate) fn read(text: &str, endings: &[&str]) -> Result<Address, ValueFault> {
    if text.len() > LONGEST {
        return Err(ValueFault::new(format!("must have at most {LONGEST} bytes")));
    }
    let mut url = Url::parse(text)
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
        .ok_or_else(|| ValueFault::new("must be an http or https address"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ValueFault::new("must not hold a user name or a password"));
    }
    url.set_query(None);
    url.set_fragment(None);
    let file = last(&url).filter(|file| is_file(file, endings));
    Ok(Address { file, text: url.into() })
}

/// The file at the end of an address that was read before.
pub(crate) fn file_of(address: &str) -> Option<String> {
    if is_one(address) { last(&Url::parse(address).ok()?) } else { None }
}

fn last(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    percent_decode_str(last).decode_utf8().ok().map(Into::into)
}

fn is_file(name: &str, endings: &[&str]) -> bool {
    let lower = name.to_lowercase();
    let has_ending = endings.iter().any(|ending| lower.len() > ending.len() && lower.ends_with(ending));
    has_ending && !name.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDINGS: &[&str] = &[".safetensors", ".pt"];

    #[test]
    fn the_last_step_of_the_path_is_the_file() {
        for (url, file) in [
            ("https://host/a/ink%20wash.safetensors?download=true#x", Some("ink wash.safetensors")),
            ("http://host/INK.SAFETENSORS", Some("INK.SAFETENSORS")),
            ("https://host/%E6%B0%B4.pt", Some("水.pt")),
            ("https://host/api/download/models/12345?token=secret", None),
            ("https://host/a.safetensors/", None),
            ("https://host/.safetensors", None),
            ("https://host/a.gguf", None),
            ("https://host/x%2F..%2Fy.safetensors", None),
            ("https://host/x%5Cy.safetensors", None),
            ("https://host/%FF.safetensors", None),
            ("https://host", None),
        ] {
            let address = read(url, ENDINGS).unwrap();
            assert_eq!(address.file.as_deref(), file, "{url}");
            assert!(!address.text.contains(['?', '#']), "{}", address.text);
            if file.is_some() {
                assert_eq!(file_of(&address.text).as_deref(), file, "{url}");
            }
        }
    }

    #[test]
    fn what_is_no_address_of_the_web_is_refused_without_repeating_it() {
        let long = format!("https://host/{}.pt", "a".repeat(LONGEST));
        for url in [
            "",
            "a.safetensors",
            "file:///etc/secret.pt",
            "ftp://host/secret.pt",
            "data:,secret.pt",
            "https://secret@host/a.pt",
            "https://:secret@host/a.pt",
            "https://",
            &long,
        ] {
            let fault = read(url, ENDINGS).unwrap_err();
            assert!(!fault.message.contains("secret"), "{url}: {}", fault.message);
        }
    }
}
