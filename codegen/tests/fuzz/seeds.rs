//! What is changed: committed workflows, and real ones if they are at hand.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use comfyport_workflow::json::{self, Value};

/// Files larger than this only slow a run down.
const LARGEST: usize = 400_000;

/// A picture, film, sound or mesh, and where JSON stands in it.
pub(crate) struct Container {
    pub(crate) bytes: Vec<u8>,
    pub(crate) json: Vec<(std::ops::Range<usize>, Value)>,
}

/// Files by what they are.
#[derive(Default)]
pub(crate) struct Seeds {
    pub(crate) submitted: Vec<Value>,
    pub(crate) saved: Vec<Value>,
    pub(crate) texts: Vec<Vec<u8>>,
    pub(crate) containers: Vec<Container>,
    pub(crate) sidecars: Vec<String>,
    /// A workflow and its lock.
    pub(crate) locked: Vec<(Value, String)>,
}

impl Seeds {
    pub(crate) fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut seeds = Self::default();
        for folder in [
            "workflow_templates",
            "workflow/tests/ui",
            "workflow/tests/conventions",
            "workflow/tests/saved",
            "codegen/tests/clashes",
        ] {
            seeds.read(&root.join(folder));
        }
        if let Some(corpus) = env::var_os("WORKFLOW_CORPUS") {
            seeds.read(&PathBuf::from(corpus));
        }
        assert!(seeds.submitted.len() > 20 && seeds.saved.len() > 8 && seeds.containers.len() > 8);
        assert!(!seeds.sidecars.is_empty() && !seeds.locked.is_empty());
        seeds
    }

    fn read(&mut self, folder: &Path) {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                self.read(&path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            match path.extension().and_then(|ending| ending.to_str()) {
                _ if bytes.len() > LARGEST => {}
                Some("json") => self.json(&path, bytes),
                Some("toml") => self.sidecars.extend(String::from_utf8(bytes)),
                Some("lock" | "csv") => {}
                _ => self.containers.push(Container { json: spans(&bytes), bytes }),
            }
        }
    }

    fn json(&mut self, path: &Path, bytes: Vec<u8>) {
        if let Ok(parsed) = json::parse(&bytes) {
            if let Ok(lock) = fs::read_to_string(path.with_extension("lock")) {
                self.locked.push((parsed.value.clone(), lock));
            }
            let saved = comfyport_workflow::ui::is_ui_format(&parsed.value);
            if saved { &mut self.saved } else { &mut self.submitted }.push(parsed.value);
        }
        self.texts.push(bytes);
    }
}

/// Where a JSON object stands in the bytes as it is.
fn spans(bytes: &[u8]) -> Vec<(std::ops::Range<usize>, Value)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = bytes[at..].windows(2).position(|pair| pair == b"{\"").map(|start| start + at) {
        at = start + 2;
        let mut depth = 0_i32;
        let end = bytes[start..].iter().position(|byte| {
            depth += i32::from(*byte == b'{') - i32::from(*byte == b'}');
            depth == 0
        });
        let Some(end) = end.map(|end| start + end + 1) else { continue };
        if let Ok(parsed) = json::parse(&bytes[start..end]) {
            found.push((start..end, parsed.value));
            at = end;
        }
    }
    found
}
