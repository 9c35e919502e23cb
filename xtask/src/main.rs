//! Daily commands: `cargo xtask lint`, `static`, `prove`, `bench`.

#![expect(clippy::print_stderr, reason = "a command line for developers")]

mod fuzz;
mod static_build;

use std::process::{Command, ExitCode};

const USAGE: &str = "\
cargo xtask <command>
  lint     formatting, clippy and documentation, warnings denied
  static   build the static binary of a profile (release) and prove that it runs alone
  prove    that no accepted job is lost: every long run of tests/chaos, a line each
  fuzz     every target of what strangers send, for so many seconds each (60), two at a time
  bench    every benchmark; each prints its ratios";

/// What a step that went wrong has to say.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let argument = |at| std::env::args().nth(at);
    let command = argument(1);
    let outcome = match command.as_deref() {
        Some("lint") => lint(),
        Some("static") => static_build::build_and_check(argument(2).as_deref()),
        Some("prove") => prove(),
        Some("fuzz") => fuzz::run(argument(2).as_deref(), argument(3).as_deref()),
        Some("bench") => bench(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn lint() -> Outcome {
    cargo(&["fmt", "--all", "--", "--check"], &[])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    // With examples, cargo chooses the features that clippy had: nothing is checked twice.
    let targets = ["--lib", "--bins", "--examples"];
    cargo(&[&["doc", "--workspace", "--no-deps"], &targets[..]].concat(), &[("RUSTDOCFLAGS", "-D warnings")])
}

/// One after the other: each has several processes of its own.
fn prove() -> Outcome {
    let tests = ["test", "--release", "--test", "chaos", "--", "--ignored", "--test-threads=1"];
    cargo(&tests, &[])
}

fn bench() -> Outcome {
    cargo(&["bench", "--package", "comfyport-endpoint"], &[])?;
    cargo(&["bench", "--bench", "server"], &[])?;
    cargo(&["bench", "--bench", "jobs"], &[])
}

/// Runs cargo and names the command if it fails.
fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    run(cargo_itself().args(arguments).envs(environment.iter().copied()))
}

/// The cargo that runs this, without what it says of this package: build scripts that look at that (`ring` has one)
/// would run again, and whatever depends on them would be built again, now and when cargo is called by hand.
fn cargo_itself() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let of_this_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_this_package) {
            command.env_remove(name);
        }
    }
    command
}

fn run(command: &mut Command) -> Outcome {
    eprintln!("+ {}", describe(command));
    let status = command.status().map_err(|error| format!("{}: {error}", describe(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", describe(command))) }
}

fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
