//! Addresses that LoRAs come from. They are looked at here, never fetched.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::fault::ValueFault;

/// The longest address, in bytes.
const LONGEST: usize = 2048;
/// How the names of LoRA files end.
pub(super) const ENDINGS: &[&str] = &[".safetensors", ".sft", ".pt", ".ckpt", ".bin"];

/// What an address says.
#[derive(Debug, PartialEq)]
pub(super) struct Source {
    /// The address without query and fragment, which may hold secrets.
    pub(super) address: String,
    /// The name of the file, if its path ends in one.
    pub(super) file: Option<String>,
}

/// Reads an address. What is wrong with it is said without repeating it.
pub(super) fn read(text: &str) -> Result<Source, ValueFault> {
    if text.len() > LONGEST {
        return Err(ValueFault::new(format!("`url` must have at most {LONGEST} bytes")));
    }
    let mut url = Url::parse(text)
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
        .ok_or_else(|| ValueFault::new("`url` must be an http or https address"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ValueFault::new("`url` must not hold a user name or a password"));
    }
    url.set_query(None);
    url.set_fragment(None);
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let file = percent_decode_str(last).decode_utf8().ok().filter(|file| is_file(file));
    Ok(Source { file: file.map(Into::into), address: url.into() })
}

fn is_file(name: &str) -> bool {
    let lower = name.to_lowercase();
    let has_ending = ENDINGS.iter().any(|ending| lower.len() > ending.len() && lower.ends_with(ending));
    has_ending && !name.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_of_the_path_is_the_file() {
        for (url, file) in [
            ("https://host/a/ink%20wash.safetensors?download=true#x", Some("ink wash.safetensors")),
            ("http://host/INK.SAFETENSORS", Some("INK.SAFETENSORS")),
            ("https://host/%E6%B0%B4.pt", Some("水.pt")),
            ("https://host/api/download/models/12345?token=secret", None),
            ("https://host/a.safetensors/", None),
            ("https://host/.safetensors", None),
            ("https://host/x%2F..%2Fy.safetensors", None),
            ("https://host/x%5Cy.safetensors", None),
            ("https://host/%FF.safetensors", None),
            ("https://host", None),
        ] {
            let source = read(url).unwrap();
            assert_eq!(source.file.as_deref(), file, "{url}");
            assert!(!source.address.contains(['?', '#']), "{}", source.address);
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
            let fault = read(url).unwrap_err();
            assert!(!fault.message.contains("secret"), "{url}: {}", fault.message);
        }
    }
}
