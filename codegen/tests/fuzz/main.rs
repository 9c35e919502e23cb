//! Changed workflows, again and again: nothing that comes from outside makes the generator panic, hang or swallow
//! memory.
//!
//! `cargo test` runs a few hundred cases. A long run, in processes that are watched and started again:
//!
//! ```sh
//! cargo test -p comfyport-codegen --test fuzz --profile fuzz -- --seconds 3600
//! ```
//!
//! A case is made from its number and the seed files alone, so `--case 4711` shows one again. `WORKFLOW_CORPUS` names
//! a folder of real workflows, which are changed besides the committed ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod bytes;
mod case;
mod change;
mod grow;
mod notes;
mod seeds;
mod watch;

use std::{env, time::Duration};

/// What one process does, on a thread with the small stack of a server's worker.
fn on_a_small_stack(action: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(action).unwrap().join().unwrap();
}

fn number(name: &str) -> Option<u64> {
    let mut arguments = env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

fn main() {
    let first = number("--first").unwrap_or(0);
    if let Some(only) = number("--case") {
        on_a_small_stack(move || {
            let seeds = seeds::Seeds::load();
            let case = case::Case::new(only, &seeds);
            println!("{}", case.describe());
            println!("{}", case.run());
        });
    } else if env::args().any(|argument| argument == "--work") {
        on_a_small_stack(move || watch::work(first));
    } else if let Some(seconds) = number("--seconds") {
        let found = watch::supervise(first, Duration::from_secs(seconds));
        assert_eq!(found, 0, "cases that went wrong; `--case NUMBER` shows one again");
    } else if !env::args().any(|argument| argument == "--list") {
        on_a_small_stack(move || watch::a_few(first, 200));
    }
}
