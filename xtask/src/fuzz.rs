//! Targets that try what strangers send, side by side.

use std::{
    collections::VecDeque,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{Outcome, cargo_itself, describe};

/// How long each is tried, in seconds, if nobody says.
const SECONDS: u64 = 60;

/// At the same time: pictures judge the memory of their process, so each has a process of its own.
const AT_ONCE: usize = 2;

/// The package and its test that hold a target, and what the test is given.
const TARGETS: [(&str, &str, &[&str]); 6] = [
    ("comfyport", "fuzz", &["--target", "request"]),
    ("comfyport", "fuzz", &["--target", "range"]),
    ("comfyport", "fuzz", &["--target", "form"]),
    ("comfyport", "fuzz", &["--target", "webhook"]),
    ("comfyport-pictures", "fuzz", &[]),
    ("comfyport-fetch", "it", &["--ignored", "--nocapture", "for_as_long_as_asked"]),
];

/// `profile` is cargo's: `fuzz` where nobody says, which is fast and has every check on.
pub(crate) fn run(seconds: Option<&str>, profile: Option<&str>) -> Outcome {
    let seconds: u64 = seconds.map_or(Ok(SECONDS), |text| {
        text.parse().map_err(|_| format!("`{text}` is no number of seconds: cargo xtask fuzz 60"))
    })?;
    let built = build(profile.unwrap_or("fuzz"))?;
    let command = |(package, test, arguments): (&str, &str, &[&str])| {
        let program = built.iter().find(|one| one.package == package && one.test == test);
        let program = program.ok_or_else(|| format!("cargo built no test `{test}` of {package}"))?;
        let mut command = Command::new(&program.path);
        command.args(arguments).env("COMFYPORT_FUZZ_SECONDS", seconds.to_string());
        if test == "fuzz" {
            command.args(["--seconds", &seconds.to_string()]);
        }
        Ok(command)
    };
    let mut waiting = TARGETS.into_iter().map(command).collect::<Result<VecDeque<_>, String>>()?;
    let mut running: VecDeque<(String, Child)> = VecDeque::new();
    let mut wrong = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < AT_ONCE
            && let Some(mut command) = waiting.pop_front()
        {
            let name = describe(&command);
            let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
            running.push_back((name, child));
        }
        if let Some((name, mut child)) = running.pop_front() {
            let status = child.wait().map_err(|error| format!("{name}: {error}"))?;
            if !status.success() {
                wrong.push(name);
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("found something: {}", wrong.join("; "))) }
}

/// A test that was built.
struct Built {
    package: String,
    test: String,
    path: String,
}

/// Builds the tests of the whole workspace, as `cargo test --workspace` does: of parts of it, cargo would build
/// dependencies once more.
fn build(profile: &str) -> Result<Vec<Built>, String> {
    let mut command = cargo_itself();
    command.args(["test", "--workspace", "--profile", profile, "--no-run", "--message-format=json"]);
    eprintln!("+ {}", describe(&command));
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("`{}` ended with {}", describe(&command), output.status));
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter_map(|line| read(&line))
        .collect())
}

/// One line of what cargo says, if it is about a test.
fn read(line: &Value) -> Option<Built> {
    let path = line["executable"].as_str()?.to_owned();
    let is_test = line["target"]["kind"].as_array()?.iter().any(|kind| kind == "test");
    let manifest = line["manifest_path"].as_str()?;
    let text = std::fs::read_to_string(manifest).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("name = "))?.trim_matches('"').to_owned();
    is_test.then(|| Some(Built { package: name, test: line["target"]["name"].as_str()?.to_owned(), path }))?
}
