//! Against hosts of the test's own that misbehave: what reaches a models folder is whole and right, and each way of
//! failing says what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod buckets;
mod cache;
mod children;
mod civitai;
mod hub;
mod inquiry;
mod links;
mod names;
mod room;
mod shelf;
mod web;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use comfyport_depot::{
    Depot, Hub, Listener, ModelName, PullError, Pulled, Retries, Settings, Sha256, Source, Step, Token,
    Trust, Wanted, Ways, testing,
};

pub(crate) const TOKEN: &str = "hf_sesame";

/// A cache and a models folder, and what happened.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) settings: Settings,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    pub(crate) fn within(folder: tempfile::TempDir) -> Self {
        let mut settings = Settings::new(folder.path().join("cache"), folder.path().join("models"));
        settings.reserve = 0;
        settings.sync_every = Duration::from_millis(20);
        settings.retries = Retries {
            failures: 3,
            first: Duration::from_millis(2),
            longest: Duration::from_millis(5),
            obeyed: Duration::from_secs(3),
            silence: Duration::from_secs(10),
        };
        Self { folder, settings, told: Arc::default() }
    }

    pub(crate) fn model(&self, path: &str) -> PathBuf {
        self.folder.path().join("models").join(path)
    }

    /// All files of a folder below this one, sorted, hidden ones included.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let root = self.folder.path().join(folder);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(entry.path().strip_prefix(&root).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// Nothing that could be taken for a model, neither in the models folder nor in the cache.
    pub(crate) fn assert_nothing_visible(&self) {
        assert_eq!(self.files("models"), Vec::<String>::new());
        assert_eq!(self.files("cache/sha256"), Vec::<String>::new());
    }

    pub(crate) async fn pull_with(&self, ways: Ways, wanted: &Wanted) -> Result<Pulled, PullError> {
        self.pull_all(ways, std::slice::from_ref(wanted)).await.remove(0)
    }

    pub(crate) async fn pull_all(&self, ways: Ways, wanted: &[Wanted]) -> Vec<Result<Pulled, PullError>> {
        let told = Arc::clone(&self.told);
        let listener = Listener::new(move |event| {
            let line = match event.step {
                Step::Bytes(_) => return,
                Step::Done(_) => "done".to_owned(),
                Step::Failed(error) => format!("failed {}", error.code()),
                other => format!("{other:?}"),
            };
            told.lock().unwrap().push(line);
        });
        let depot = Depot::new(self.settings.clone(), ways).unwrap();
        let outcomes = depot.pull(wanted, &listener).await;
        for outcome in &outcomes {
            if let Err(error) = outcome {
                let said = format!("{error}; {}; {error:?}", error.next_step());
                assert!(!said.contains("sesame") && !said.contains("X-Signature"), "{said}");
                assert!(error.next_step().len() > 10);
            }
        }
        self.assert_no_secrets();
        outcomes
    }

    /// No token and no signature is in what was told, or in any small file of the cache.
    fn assert_no_secrets(&self) {
        let mut texts = self.told.lock().unwrap().clone();
        for file in self.files("cache") {
            let path = self.folder.path().join("cache").join(&file);
            if file.ends_with(".json") {
                texts.push(std::fs::read_to_string(path).unwrap_or_default());
            }
        }
        for text in texts {
            assert!(!text.contains("sesame") && !text.contains("X-Signature"), "{text}");
        }
    }

    pub(crate) fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }
}

pub(crate) fn ways() -> Ways {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = rustls::RootCertStore::empty();
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ways::new(testing::client(tls)).unwrap()
}

pub(crate) fn token() -> Option<Token> {
    Token::new(TOKEN).unwrap()
}

pub(crate) fn to_hub(hub: &testing::FakeHub, token: Option<Token>) -> Ways {
    Ways { hugging_face: Hub { endpoint: hub.host.url.clone(), token }, ..ways() }
}

pub(crate) fn to_civitai(civitai: &testing::FakeCivitAi, token: Option<Token>) -> Ways {
    Ways { civitai: Hub { endpoint: civitai.host.url.clone(), token }, ..ways() }
}

pub(crate) fn name(name: &str) -> ModelName {
    let (folder, file) = name.split_once('/').unwrap();
    ModelName::new(folder, file).unwrap()
}

/// `models/x.safetensors` unless told.
pub(crate) fn wanted(source: &str) -> Wanted {
    Wanted {
        name: name("loras/x.safetensors"),
        sources: vec![source.parse::<Source>().unwrap()],
        size: None,
        sha256: None,
        trust: Trust::Anybody,
    }
}

pub(crate) fn pinned(source: &str, content: &[u8]) -> Wanted {
    Wanted { size: Some(content.len() as u64), sha256: Some(Sha256::of(content)), ..wanted(source) }
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
