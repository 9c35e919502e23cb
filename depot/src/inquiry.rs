//! Sources, asked what they say of models. Nothing is fetched and nothing is kept.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{
    Found, Named, PullError, Retries, Sha256, Source, Wanted, Ways,
    trouble::Trouble,
    ways::{Conditions, Located, Start},
};

/// Sources, asked what they say of models.
#[derive(Debug, Clone)]
pub struct Inquiry {
    ways: Ways,
    retries: Retries,
}

/// What a source says of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// How large it is, in bytes.
    pub size: Option<u64>,
    /// What it hashes to.
    pub sha256: Option<Sha256>,
    /// The commit that has it.
    pub commit: Option<String>,
}

impl Inquiry {
    /// Asks by these ways. What may pass is tried again.
    pub fn new(ways: Ways, retries: Retries) -> Self {
        Self { ways, retries }
    }

    /// What a source says of a file. Where it says how large a file is only when that begins to arrive, it is let begin.
    pub async fn describe(&self, wanted: &Wanted, source: &Source) -> Result<Described, PullError> {
        let place = source.to_string();
        let located = self.ask(&place, || self.ways.locate(wanted, source)).await?;
        let Located { size, sha256, commit, .. } = &located;
        let mut described = Described { size: *size, sha256: *sha256, commit: commit.clone() };
        if described.size.is_none() {
            let conditions = Conditions::default();
            let begun = self.ask(&place, || self.ways.open(&located, &conditions)).await;
            match begun.map(|opened| opened.start) {
                Ok(Start::At { total, .. }) => described.size = total,
                Ok(Start::Same | Start::Beyond { .. }) => {}
                // What it hashes to is known: the rest can wait until it is fetched.
                Err(_) if described.sha256.is_some() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(described)
    }

    /// Who has some content, as CivitAI says: a suggestion where no source is known. `None` if it does not know.
    pub async fn find_by_hash(&self, sha256: &Sha256) -> Result<Option<Found>, PullError> {
        self.ask(&format!("civitai:sha256:{sha256}"), || self.ways.look_up(sha256)).await
    }

    /// Files of that name in repositories that are called like it, as Hugging Face says: suggestions, the most popular
    /// first. A name proves nothing.
    pub async fn find_by_name(&self, file: &str) -> Result<Vec<Named>, PullError> {
        self.ask(&format!("Hugging Face, {file}"), || self.ways.search(file)).await
    }

    async fn ask<T, F>(&self, place: &str, question: impl Fn() -> F) -> Result<T, PullError>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let mut failures = 0;
        loop {
            let trouble = match timeout(self.retries.silence, question()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(trouble)) => trouble,
                Err(_) => Trouble::Passing(format!("nothing came for {} s", self.retries.silence.as_secs())),
            };
            failures += 1;
            let tries_end = failures >= self.retries.failures;
            let pause = match trouble {
                Trouble::Fatal(error) => return Err(error),
                Trouble::Limited(told) => {
                    let pause = told.unwrap_or(Duration::from_mins(1));
                    if tries_end || pause > self.retries.obeyed {
                        let host = place.to_owned();
                        return Err(PullError::RateLimited { host, wait_s: pause.as_secs() });
                    }
                    pause
                }
                Trouble::Passing(why) if tries_end => {
                    return Err(PullError::Network { place: place.to_owned(), why, tries: failures });
                }
                Trouble::Expired | Trouble::Changed if tries_end => {
                    return Err(PullError::Expired { place: place.to_owned(), tries: failures });
                }
                Trouble::Passing(_) | Trouble::Expired | Trouble::Changed => self.retries.pause(failures),
            };
            sleep(pause).await;
        }
    }
}
