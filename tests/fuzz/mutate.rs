//! Bytes and words that are nearly right.

use fastrand::Rng;

/// Words at which readers stumble.
const WORDS: [&str; 24] = [
    "",
    "null",
    "true",
    "-0",
    "1e999",
    "NaN",
    "18446744073709551616",
    "-1",
    "\"",
    "\\u0000",
    "\\ud800",
    "\u{202e}",
    "../",
    "data:",
    "data:image/png;base64,",
    "http://127.0.0.1/",
    "[",
    "{",
    "}",
    "]",
    ",",
    ":",
    "\r\n",
    "--",
];

/// Changes some bytes.
pub(crate) fn bytes(data: &mut Vec<u8>, random: &mut Rng) {
    for _ in 0..random.usize(1..5) {
        let at = random.usize(..=data.len());
        let end = (at + random.usize(..24)).min(data.len());
        match random.u8(..6) {
            0 if at < data.len() => data[at] ^= 1 << random.u8(..8),
            1 if at < data.len() => data[at] = random.u8(..),
            2 => data.truncate(at),
            3 => drop(data.drain(at..end)),
            4 => {
                let again = data[at..end].to_vec();
                data.splice(at..at, again);
            }
            _ => drop(data.splice(at..at, WORDS[random.usize(..WORDS.len())].bytes())),
        }
    }
}

/// Some text.
pub(crate) fn text(random: &mut Rng) -> String {
    match random.u8(..4) {
        0 => WORDS[random.usize(..WORDS.len())].to_owned(),
        1 => (0..random.usize(..40)).map(|_| random.char(..)).collect(),
        2 => (0..random.usize(..300)).map(|_| random.alphanumeric()).collect(),
        _ => "a lighthouse".to_owned(),
    }
}

/// One of these.
pub(crate) fn one<'t, T>(items: &'t [T], random: &mut Rng) -> Option<&'t T> {
    (!items.is_empty()).then(|| &items[random.usize(..items.len())])
}
