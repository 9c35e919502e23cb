//! How long it takes to understand real workflows, and to generate their code:
//! `cargo run --release -p comfyport-codegen --example corpus_time -- FOLDER...`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use comfyport_codegen::{Template, generate};
use comfyport_workflow::{Catalog, Options, endpoint};

/// Each file is read this often. The shortest time counts: the rest is what else the machine does.
const TIMES: usize = 7;

fn main() {
    for folder in std::env::args_os().skip(1).map(PathBuf::from) {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
        paths.sort();
        let (mut understood, mut generated, mut refused) = (Vec::new(), Vec::new(), 0);
        for path in &paths {
            let bytes = fs::read(path).unwrap();
            let (time, usable) = shortest(|| infer(&bytes));
            understood.push((time, path.as_path()));
            if usable {
                generated.push((shortest(|| code(&bytes)).0, path.as_path()));
            } else {
                refused += 1;
            }
        }
        println!("{}: {} files, {refused} of them not usable", folder.display(), paths.len());
        print("understand", understood);
        print("understand and generate", generated);
    }
}

fn infer(bytes: &[u8]) -> bool {
    let options = Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
    endpoint(black_box(bytes), &options).is_ok_and(|endpoint| black_box(endpoint).is_usable())
}

fn code(bytes: &[u8]) -> bool {
    let template = Template {
        path: "a".to_owned(),
        file: "a.json".to_owned(),
        bytes: bytes.to_vec(),
        sidecar: None,
        lock: None,
    };
    generate(&[template], Catalog::core()).is_ok()
}

fn shortest(action: impl Fn() -> bool) -> (Duration, bool) {
    let mut shortest = Duration::MAX;
    let mut outcome = false;
    for _ in 0..TIMES {
        let started = Instant::now();
        outcome = action();
        shortest = shortest.min(started.elapsed());
    }
    (shortest, outcome)
}

fn print(what: &str, mut times: Vec<(Duration, &Path)>) {
    times.sort_unstable();
    let Some((longest, path)) = times.last() else { return };
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].0;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    println!("  {what}: median {:?}, 95 % within {:?}, longest {longest:?} ({name})", at(50), at(95));
}
