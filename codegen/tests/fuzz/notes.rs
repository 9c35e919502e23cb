//! Changes of the files beside a workflow: sidecars and locks.

use std::collections::BTreeSet;

use fastrand::Rng;

/// Values of TOML.
const VALUES: &[&str] = &[
    "\"\"",
    "\"a\\\"#*/{}\\u202E\"",
    "\"prompt\"",
    "\"seed\"",
    "\"../x\"",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1e400",
    "nan",
    "-inf",
    "0.1",
    "true",
    "false",
    "\"primary\"",
    "\"advanced\"",
    "1979-05-27T07:32:00Z",
    "[]",
    "[1, \"a\", true, 1.5, [[]], {}]",
    "[\"a\", \"a\", \"\"]",
    "{}",
    "{ a = { b = 1 } }",
    "'''x\ny'''",
];

/// Keys of both kinds of file.
const KEYS: &[&str] =
    &["name", "tier", "type", "role", "required", "default", "min", "signal", "id", "class", "other"];

/// A key, and values for it.
type Rule = (&'static str, &'static [&'static str]);

/// Tables with keys that they have, and values that fit.
const RULES: &[(&str, &[Rule])] = &[
    (
        "params",
        &[
            (
                "name",
                &[
                    "\"prompt\"",
                    "\"seed\"",
                    "\"type\"",
                    "\"a b\"",
                    "\"\"",
                    "\"Self\"",
                    "\"_\"",
                    "\"options\"",
                ],
            ),
            ("expose", &["true", "false", "\"primary\"", "\"advanced\""]),
            ("hide", &["true", "false"]),
            ("required", &["true", "false"]),
            ("default", VALUES),
            ("min", &["0", "-1", "1.5", "9223372036854775807", "-9223372036854775808", "nan"]),
            ("max", &["0", "-1", "1.5", "9223372036854775807", "-9223372036854775808", "inf"]),
            ("step", &["0", "1", "-1", "0.1", "nan"]),
            (
                "options",
                &["[]", "[1, 2]", "[\"a\", \"b\"]", "[\"a\", \"a\"]", "[1, \"a\", true, 1.5, [[]], {}]"],
            ),
            ("description", &["\"\"", "\"*/ \\\" }\"", "'''x\ny'''"]),
        ],
    ),
    ("outputs", &[("name", &["\"image\"", "\"\"", "\"id\"", "\"Self\""]), ("hide", &["true", "false"])]),
    (
        "models",
        &[
            ("url", &["\"\"", "\"https://example.com/x\"", "\"file:///x\""]),
            ("sha256", &["\"\"", "\"00\""]),
            ("folder", &["\"\"", "\"vae\"", "\"../x\""]),
        ],
    ),
    (
        "node_packs",
        &[("repository", &["\"\"", "\"https://example.com/x\""]), ("version", &["\"\"", "\"1\""])],
    ),
];

fn pick<'t>(all: &[&'t str], dice: &mut Rng) -> &'t str {
    all[dice.usize(..all.len())]
}

/// A sidecar that decides at random about names that are there.
pub(crate) fn sidecar(names: &[String], dice: &mut Rng) -> String {
    let mut text = String::new();
    let mut told = BTreeSet::new();
    for _ in 0..dice.usize(..8) {
        let (table, rules) = RULES[if dice.bool() { 0 } else { dice.usize(..RULES.len()) }];
        let name = match dice.choice(names) {
            Some(name) if dice.u8(..8) > 0 => name.clone(),
            _ => pick(&["", "1.text", "x\"y", "*", "prompt", "3"], dice).to_owned(),
        };
        if !told.insert((table, name.clone())) {
            continue;
        }
        text.push_str(&format!("[{table}.{}]\n", toml_text(&name)));
        let mut rules = rules.to_vec();
        dice.shuffle(&mut rules);
        for (key, values) in rules.iter().take(dice.usize(1..4)) {
            let value = match dice.choice(names) {
                Some(name) if *key == "name" && dice.bool() => toml_text(name),
                _ => pick(if dice.u8(..30) == 0 { VALUES } else { values }, dice).to_owned(),
            };
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}

fn toml_text(text: &str) -> String {
    comfyport_workflow::json::Value::from(text).to_json()
}

/// A text of lines with some of them changed, moved or gone.
pub(crate) fn lines(text: &str, dice: &mut Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=dice.usize(..5) {
        if lines.is_empty() {
            break;
        }
        let at = dice.usize(..lines.len());
        match dice.u8(..7) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[dice.usize(..lines.len())].clone()),
            2 => {
                let other = dice.usize(..lines.len());
                lines.swap(at, other);
            }
            3 | 4 => {
                if let Some((key, _)) = lines[at].split_once('=') {
                    lines[at] = format!("{key}= {}", pick(VALUES, dice));
                }
            }
            5 => lines.insert(at, format!("{} = {}", pick(KEYS, dice), pick(VALUES, dice))),
            _ => {
                let deep = 10_usize.pow(dice.u32(..5));
                lines[at] = format!("x = {}{}", "[".repeat(deep), "]".repeat(deep * dice.usize(..2)));
            }
        }
    }
    lines.join("\n")
}
