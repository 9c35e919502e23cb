//! Names and texts that want out of their place. `.ci/clients` gives what is written for them to the compilers.

#![allow(clippy::unwrap_used)]

use std::{env, fs, path::Path, process::Command};

use comfyport_clientgen::{Language, generate};
use comfyport_endpoint::{
    Endpoint, Field,
    Held::{self, Static},
    Kind, List, MediaEncoding, MediaKind, Output, OutputKind, Table, Template, Text,
};

/// Words of both languages and of the packages, and what no language takes for a name.
const NAMES: &[&str] = &[
    "class",
    "self",
    "None",
    "str",
    "int",
    "float",
    "bool",
    "bytes",
    "field",
    "dataclass",
    "Optional",
    "Literal",
    "List",
    "Media",
    "Request",
    "advanced_",
    "constructor",
    "prototype",
    "__proto__",
    "__init__",
    "_path_",
    "_outputs_",
    "a-b",
    "a_b",
    "a b",
    "2nd",
    "提示",
    "\"",
    "'",
    "\\",
    "\n",
    "*/",
    "`${x}`",
    "\"\"\"",
    "\u{2028}",
    "\u{202E}x",
    "A1Request",
    "Scheduler",
    "options",
    "in",
    "async",
    "match",
    "type",
    "default",
    "function",
    "lambda",
];

const TEXTS: &[&str] = &[
    "*/ export const leaked = 1; /*",
    "\"\"\"\nleaked = 1\n\"\"\"",
    "ends with a quote \"",
    "ends with a backslash \\",
    "\\\" \\\\\" \\N{DIGIT ONE} \\u12 \\x",
    "@deprecated {@link x} `${leaked}` # type: ignore",
    "a\u{2028}b\u{2029}c\u{85}d\u{202E}e\u{0}f\rg",
    "🦊 {} {0} $path $class",
];

fn text(text: &str) -> Text {
    Held::from(text.to_owned())
}

fn field(name: &str, index: usize) -> Field {
    let doc = TEXTS[index % TEXTS.len()];
    let options = || -> List<Text> {
        TEXTS.iter().cycle().skip(index % 3).take(4 + index % 3).map(|one| text(one)).collect()
    };
    let kind = match index % 10 {
        0 => Kind::Text { max_length: 10 },
        1 => Kind::Choice { options: options() },
        2 => Kind::Suggest { options: options() },
        3 => Kind::NumberChoice { options: [-1, 0, 7].into_iter().collect() },
        4 => Kind::Integer { min: -5, max: i128::from(u64::MAX) },
        5 => Kind::Float { min: f64::NEG_INFINITY, max: f64::INFINITY },
        6 => Kind::Boolean,
        7 => Kind::Seed { min: 0, max: u64::MAX },
        8 => Kind::Loras {
            folder: text("loras"),
            most: 4,
            clip: true,
            min: -2.0,
            max: 2.0,
            from_url: index.is_multiple_of(2),
        },
        _ => Kind::Media { kind: MediaKind::File, encoding: MediaEncoding::UploadName },
    };
    let field = Field::new("", kind, None, &[]);
    Field { name: text(name), doc: text(doc), required: index.is_multiple_of(4), ..field }
}

fn endpoint(path: &str, first: usize) -> Endpoint {
    let fields = |from: usize| NAMES.iter().enumerate().map(move |(index, name)| field(name, from + index));
    let output = |(index, name): (usize, &&str)| Output {
        name: text(name),
        node: text(TEXTS[0]),
        class_type: text(TEXTS[1]),
        kind: if index % 2 == 0 { OutputKind::Text } else { OutputKind::File },
        many: true,
        preview: false,
    };
    Endpoint {
        path: text(path),
        version: None,
        deprecated: None,
        title: text(TEXTS[2]),
        description: text(TEXTS[first % TEXTS.len()]),
        fields: fields(first).collect(),
        advanced: fields(first + 1)
            .filter(|field| !matches!(field.kind, Kind::Media { .. } | Kind::Loras { .. }))
            .collect(),
        outputs: NAMES.iter().enumerate().map(output).collect(),
        switches: Static(&[]),
        rules: Static(&[]),
        models: Static(&[]),
        node_packs: Static(&[]),
        nodes: Static(&[]),
        template: Template { pieces: Static(&[]) },
        openapi: Static("{}"),
        new_request: Table::request,
    }
}

fn packages() -> Vec<(Language, std::collections::BTreeMap<String, String>)> {
    let endpoints: Vec<Endpoint> = [
        "a/1",
        "a_1",
        "a1",
        "comfyport",
        "client",
        "run",
        "x*/y",
        "x\"\"\"",
        "promise",
        "提",
        "request",
        "workflow/path",
        "problem",
    ]
    .iter()
    .enumerate()
    .map(|(index, path)| endpoint(path, index))
    .collect();
    let endpoints: Vec<&Endpoint> = endpoints.iter().collect();
    [Language::TypeScript, Language::Python]
        .map(|language| (language, generate(language, &endpoints, &["invalid_request"])))
        .into()
}

#[test]
fn nothing_hides_or_reorders_what_is_written() {
    for (language, files) in packages() {
        for (name, text) in files {
            let odd = text
                .chars()
                .find(|one| *one != '\n' && (one.is_control() || ('\u{2028}'..='\u{202E}').contains(one)));
            assert_eq!(odd, None, "{language:?} {name}");
        }
    }
}

/// `TSC` and `PYTHON` name the compiler, and an interpreter that has `mypy` and `httpx`.
#[test]
#[ignore = "needs TypeScript and Python; `.ci/clients` runs it"]
fn hostile_names_and_texts_pass_the_compilers() {
    let folder = tempfile::tempdir().unwrap();
    for (language, files) in packages() {
        let out = folder.path().join(format!("{language:?}"));
        for (name, text) in files {
            let path = out.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        match language {
            Language::TypeScript => check(&out, &env::var("TSC").unwrap(), &["--project", ".", "--noEmit"]),
            Language::Python => {
                let python = env::var("PYTHON").unwrap();
                check(&out, &python, &["-m", "mypy", "--strict", "comfyport_client"]);
                let leaks = "import comfyport_client.workflows as w; assert not hasattr(w, 'leaked')";
                check(&out, &python, &["-W", "error", "-c", leaks]);
            }
        }
    }
}

fn check(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}:\n{said}");
}
