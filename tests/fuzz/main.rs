//! What strangers send, again and again: requests, numbers in them, forms and webhooks. Nothing makes a reader panic, hang, or take what
//! is wrong for right.
//!
//! `cargo test` runs some thousand cases of each target; pictures and addresses have targets of their own, in
//! `pictures/tests/fuzz` and `fetch/tests/it/written.rs`. All of them for as long as one likes, and one case again:
//!
//! ```sh
//! cargo xtask fuzz 3600
//! cargo test --test fuzz --profile fuzz -- --target form --case 4711
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation
)]

mod form;
mod mutate;
mod range;
mod request;
mod webhook;

use std::{
    env,
    panic::{self, AssertUnwindSafe},
    time::{Duration, Instant},
};

use fastrand::Rng;

/// Far more than any case needs, also on a busy machine.
const TIME: Duration = Duration::from_secs(10);

/// What is tried.
struct Target {
    name: &'static str,
    /// Makes a case of these random numbers, and says whether it was one that is in order.
    run: fn(&mut Rng) -> bool,
    /// Without a limit of time.
    cases: u64,
}

const TARGETS: [Target; 4] = [
    Target { name: "request", run: request::run, cases: 3000 },
    Target { name: "range", run: range::run, cases: 10_000 },
    Target { name: "form", run: form::run, cases: 3000 },
    Target { name: "webhook", run: webhook::run, cases: 3000 },
];

/// Cases are made from their number alone.
fn attempt(target: &Target, number: u64) -> Result<bool, String> {
    let begun = Instant::now();
    let mut random = Rng::with_seed(number);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&mut random)));
    match outcome {
        Err(_) => Err(format!("case {number} of {} went wrong", target.name)),
        Ok(_) if begun.elapsed() > TIME => {
            Err(format!("case {number} of {} took {:?}", target.name, begun.elapsed()))
        }
        Ok(is_fine) => Ok(is_fine),
    }
}

fn argument(name: &str) -> Option<String> {
    env::args().skip_while(|argument| argument != name).nth(1)
}

fn number(name: &str) -> Option<u64> {
    argument(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

fn main() {
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    let only = argument("--target");
    let seconds = number("--seconds");
    for target in TARGETS.iter().filter(|target| only.as_deref().is_none_or(|only| only == target.name)) {
        if let Some(case) = number("--case") {
            println!("{:?}", attempt(target, case));
            continue;
        }
        let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let (mut cases, mut fine, mut wrong) = (0_u64, 0_u64, Vec::new());
        while until.map_or(cases < target.cases, |until| Instant::now() < until) {
            match attempt(target, cases) {
                Ok(is_fine) => fine += u64::from(is_fine),
                Err(message) => wrong.push(message),
            }
            cases += 1;
        }
        println!("{}: {cases} cases, {fine} in order, {} went wrong", target.name, wrong.len());
        assert!(fine > cases / 50, "{}: changes are too rough: hardly a case is in order", target.name);
        assert!(fine < cases - cases / 50, "{}: changes change nothing", target.name);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
