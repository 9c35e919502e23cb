//! Damaged and forged pictures, again and again: nothing that comes from outside makes a decoder panic, hang or take
//! more memory than it is given.
//!
//! `cargo test` runs a few hundred cases. A long run, and one case again:
//!
//! ```sh
//! cargo test -p comfyport-pictures --test fuzz --profile fuzz -- --seconds 3600
//! cargo test -p comfyport-pictures --test fuzz --profile fuzz -- --case 4711
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod bombs;
mod change;

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    time::{Duration, Instant},
};

use comfyport_pictures::{Codec, Conversion, Header, Limits, Metadata, Picture, Thumbnail, Wish, is_turned};

/// What is allowed of each case. Small, so that what exceeds it shows.
const LIMITS: Limits = Limits { pixels: 1 << 20, side: 4096, memory: 8 << 20, avif_pixels: 1 << 10 };

/// More than it is given, in bytes: what a file carries besides its pixels, the pixels turned, and what decoders keep
/// of progressive files.
const MEMORY: u64 = 48 << 20;

const TIME: Duration = Duration::from_secs(10);

/// Does everything with it that a server does with a stranger's file.
fn work_on(data: &[u8]) -> &'static str {
    let Ok(header) = Header::read(data, &LIMITS) else { return "header" };
    assert!(u64::from(header.width) * u64::from(header.height) <= LIMITS.pixels);
    let turned = is_turned(data, &LIMITS);
    let thumbnail = Thumbnail { width: Some(16), height: Some(16), ..Thumbnail::default() };
    let small = thumbnail.make(data, &LIMITS);
    let Ok(picture) = Picture::decode(data, &LIMITS) else { return "pixels" };
    assert!(turned.is_ok() && small.is_ok(), "what can be decoded can be made smaller");
    assert!(u64::from(picture.width()) * u64::from(picture.height()) <= LIMITS.pixels);
    let made = Wish::default().make(data, &LIMITS).expect("what was decoded can be written");
    assert!(!is_turned(&made.data, &LIMITS).unwrap());
    let jpeg = Conversion::to(Codec::Jpeg).make(data, Metadata::Keep, &LIMITS);
    assert!(jpeg.is_ok(), "{jpeg:?}");
    "fine"
}

/// The most memory the process had, in bytes; `None` where the system does not tell.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

fn attempt(number: u64, data: &[u8]) -> Result<&'static str, String> {
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (before, begun) = (peak(), Instant::now());
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| work_on(data)));
    let outcome = outcome.map_err(|_| format!("case {number} panicked"))?;
    let grown = peak().zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
    if grown > MEMORY {
        return Err(format!("case {number} took {} MB", grown >> 20));
    }
    if begun.elapsed() > TIME {
        return Err(format!("case {number} took {:?}", begun.elapsed()));
    }
    Ok(outcome)
}

fn number(name: &str) -> Option<u64> {
    let mut arguments = env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

fn main() {
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    let seeds = change::seeds();
    if let Some(case) = number("--case") {
        println!("{:?}", attempt(case, &change::case(case, &seeds)));
        return;
    }
    let mut wrong: Vec<String> = Vec::new();
    for (number, (name, bomb)) in (0..).zip(bombs::all()) {
        match attempt(number, &bomb) {
            Ok("fine") if name != bombs::PROFILE => wrong.push(format!("{name} was taken for a picture")),
            Ok(_) => {}
            Err(message) => wrong.push(format!("{name}: {message}")),
        }
    }
    let until = number("--seconds").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut cases, mut fine) = (0_u64, 0_u64);
    while until.map_or(cases < 400, |until| Instant::now() < until) {
        match attempt(cases, &change::case(cases, &seeds)) {
            Ok(outcome) => fine += u64::from(outcome == "fine"),
            Err(message) => wrong.push(message),
        }
        cases += 1;
    }
    println!("{cases} cases, {fine} of them pictures, {} of them went wrong", wrong.len());
    assert!(fine > cases / 50, "changes are too rough: hardly a case is a picture");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
