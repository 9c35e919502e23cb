//! Files by their names, at Hugging Face.

use comfyport_fetch::Approved;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use super::{
    Host, Ways,
    web::{Asked, refused},
};
use crate::{PullError, Source, source::HubFile, trouble::Trouble};

/// What is found is never longer, in bytes: repositories are told with all their files.
const LONGEST: usize = 16 << 20;

/// How many repositories are looked into.
const REPOSITORIES: &str = "20";

/// How many files are told.
const TOLD: usize = 5;

/// A file that is called like what is looked for: a suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The file as a source.
    pub source: Source,
    /// The same as an address.
    pub url: String,
    /// How often its repository was fetched of late.
    pub downloads: u64,
    /// Whether terms have to be accepted first.
    pub gated: bool,
}

#[derive(Deserialize)]
struct Repository {
    id: String,
    #[serde(default)]
    downloads: Option<u64>,
    /// `false`, `"auto"` or `"manual"`.
    #[serde(default)]
    gated: Option<serde_json::Value>,
    #[serde(default)]
    siblings: Option<Vec<Sibling>>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Ways {
    /// Files of exactly this name, in repositories that are called like it.
    pub(crate) async fn search(&self, file: &str) -> Result<Vec<Named>, Trouble> {
        let name = file.rsplit('/').next().unwrap_or(file);
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let words: Vec<&str> = stem.split(['_', '-', '.', ' ']).filter(|word| !word.is_empty()).collect();
        // Repositories are seldom called exactly like their files.
        let mut queries = vec![stem.to_owned(), words.join(" ")];
        queries.extend(words.get(..2).map(|first| first.join(" ")));
        queries.dedup();
        for query in queries {
            let found = self.search_for(&query, name).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    async fn search_for(&self, query: &str, name: &str) -> Result<Vec<Named>, Trouble> {
        let place = format!("Hugging Face, {query}");
        let odd = |what: &str| Trouble::Fatal(PullError::Odd { place: place.clone(), what: what.to_owned() });
        let endpoint = &self.hugging_face.endpoint;
        let mut url = endpoint.join("/api/models").map_err(|_| odd("it has no address"))?;
        url.query_pairs_mut().extend_pairs([
            ("search", query),
            ("limit", REPOSITORIES),
            ("sort", "downloads"),
            ("full", "true"),
        ]);
        let host = Host::HuggingFace { page: endpoint.to_string() };
        let start = Approved::by_operator(url);
        let (mut answer, elsewhere, token) =
            self.follow(&place, &start, &host, &Method::GET, &HeaderMap::new(), true).await?;
        if answer.status() != StatusCode::OK {
            let asked = Asked { place: &place, host: &host, token, elsewhere };
            return Err(refused(answer.status(), answer.headers(), &asked));
        }
        let mut text = Vec::new();
        let broken = |_| Trouble::Passing("the connection broke off".to_owned());
        while let Some(piece) = answer.chunk().await.map_err(broken)? {
            text.extend_from_slice(&piece);
            if text.len() > LONGEST {
                return Err(odd("it finds more than is read"));
            }
        }
        let found: Vec<Repository> =
            serde_json::from_slice(&text).map_err(|_| odd("it does not say what it finds"))?;
        let mut named: Vec<Named> = found.iter().flat_map(|repository| repository.named(name)).collect();
        named.sort_by_key(|one| std::cmp::Reverse(one.downloads));
        named.truncate(TOLD);
        Ok(named)
    }
}

impl Repository {
    fn named(&self, name: &str) -> Vec<Named> {
        let gated = self.gated.as_ref().is_some_and(|gated| *gated != serde_json::Value::Bool(false));
        let files = self.siblings.iter().flatten();
        let called = files.filter(|file| file.rfilename.rsplit('/').next() == Some(name));
        let file = |sibling: &Sibling| {
            let file = HubFile {
                repository: self.id.clone(),
                revision: "main".to_owned(),
                path: sibling.rfilename.clone(),
            };
            // What they call a file is theirs to say, and has to be one.
            let file = file.checked()?;
            let url = file.url(&"https://huggingface.co".parse().ok()?)?.to_string();
            let downloads = self.downloads.unwrap_or(0);
            Some(Named { source: Source::HuggingFace(file), url, downloads, gated })
        };
        called.filter_map(file).collect()
    }
}
