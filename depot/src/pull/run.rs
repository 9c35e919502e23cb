//! One model on its way.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{How, Inner, Pulled};
use crate::{
    Listener, PullError, Retries, Sha256, Source, Wanted,
    cache::{Held, Part, key},
    link,
    name::may_be_pickle,
    progress::{Event, Step},
    safetensors::{BadHeader, Header},
    trouble::Trouble,
    ways::Located,
};

/// Whether somebody else is done with a file is looked at this often: locks do not tell.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// One model on its way.
#[derive(Debug, Clone)]
pub(super) struct Run<'r> {
    pub(super) depot: Arc<Inner>,
    pub(super) item: usize,
    pub(super) wanted: &'r Wanted,
    pub(super) listener: &'r Listener,
}

/// What must hold of a file: what was agreed on, and what the source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) sha256: Option<Sha256>,
    pub(super) size: Option<u64>,
}

/// Failures in a row.
#[derive(Debug)]
pub(super) struct Row {
    retries: Retries,
    failures: u32,
}

impl Row {
    fn new(retries: Retries) -> Self {
        Self { retries, failures: 0 }
    }

    /// Something was gained.
    pub(super) fn ends(&mut self) {
        self.failures = 0;
    }
}

impl Run<'_> {
    pub(super) async fn pull(&self) -> Result<Pulled, PullError> {
        let Wanted { name, sources, .. } = self.wanted;
        if !self.depot.settings.pickles && may_be_pickle(name.file()) {
            return Err(PullError::Pickle { file: name.to_string() });
        }
        if let Some(present) = self.blocking(present).await? {
            return Ok(present);
        }
        if let Some(digest) = self.wanted.sha256
            && let Some(held) = self.find(digest).await?
        {
            return self.settle(held, How::Cached).await;
        }
        let mut first = None;
        for source in sources {
            self.tell(Step::Asking { source: source.to_string() });
            match self.fetch(source).await {
                Ok((held, how)) => return self.settle(held, how).await,
                Err(error) if error.is_of_source() => first = first.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or_else(|| PullError::NoSource { name: name.to_string() }))
    }

    /// From a source into the cache.
    async fn fetch(&self, source: &Source) -> Result<(Held, How), PullError> {
        let mut row = Row::new(self.depot.settings.retries);
        let located = self.locate(source, &mut row).await?;
        let agreed = self.agree(&located)?;
        if let Some(digest) = agreed.sha256
            && let Some(held) = self.find(digest).await?
        {
            return Ok((held, How::Cached));
        }
        let key = agreed.sha256.map_or_else(|| key(&located.address()), |digest| digest.to_string());
        let part = self.lock(&key).await?;
        // Whoever was waited for may have fetched it.
        if let Some(digest) = agreed.sha256
            && let Some(held) = self.find(digest).await?
        {
            self.end(part).await?;
            return Ok((held, How::Cached));
        }
        self.transfer(source, located, agreed, part, row).await
    }

    /// Asks a source, until it answers or has failed often enough.
    pub(super) async fn locate(&self, source: &Source, row: &mut Row) -> Result<Located, PullError> {
        loop {
            let silence = self.depot.settings.retries.silence;
            let asked = tokio::time::timeout(silence, self.depot.ways.locate(self.wanted, source));
            let trouble = match asked.await {
                Ok(Ok(located)) => return Ok(located),
                Ok(Err(trouble)) => trouble,
                Err(_) => silent(silence),
            };
            let hub = match source {
                Source::HuggingFace(_) => self.depot.ways.hugging_face.endpoint.host_str(),
                Source::CivitAi(_) => self.depot.ways.civitai.endpoint.host_str(),
                Source::Web(_) | Source::Server(_) | Source::Bucket(_) => None,
            };
            let host = hub.map_or_else(|| source.to_string(), str::to_owned);
            self.endure(row, trouble, &source.to_string(), &host).await?;
        }
    }

    /// What was agreed on and what the source says must go together.
    pub(super) fn agree(&self, located: &Located) -> Result<Agreed, PullError> {
        let place = || located.place.clone();
        let Wanted { sha256, size, .. } = self.wanted;
        if let (Some(expected), Some(actual)) = (*sha256, located.sha256)
            && expected != actual
        {
            return Err(PullError::WrongHash { place: place(), expected, actual });
        }
        if let (Some(expected), Some(actual)) = (*size, located.size)
            && expected != actual
        {
            return Err(PullError::WrongSize { place: place(), expected, actual });
        }
        let agreed = Agreed { sha256: sha256.or(located.sha256), size: size.or(located.size) };
        let largest = self.depot.settings.largest;
        if agreed.size.is_some_and(|size| size > largest) {
            return Err(PullError::TooLarge { place: place(), largest });
        }
        Ok(agreed)
    }

    async fn lock(&self, key: &str) -> Result<Part, PullError> {
        let mut told = false;
        loop {
            let key = key.to_owned();
            let part = self.blocking(move |run| {
                run.depot.cache.part(&key).map_err(PullError::io(run.depot.cache.root()))
            });
            if let Some(part) = part.await? {
                return Ok(part);
            }
            if !std::mem::replace(&mut told, true) {
                self.tell(Step::Waiting);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits before the next try, or gives up.
    pub(super) async fn endure(
        &self,
        row: &mut Row,
        trouble: Trouble,
        place: &str,
        host: &str,
    ) -> Result<(), PullError> {
        row.failures += 1;
        let (retries, tries, place) = (row.retries, row.failures, place.to_owned());
        let last = tries >= retries.failures;
        let backoff = retries.pause(tries);
        let (why, pause) = match trouble {
            Trouble::Fatal(error) => return Err(error),
            Trouble::Limited(asked) => {
                let pause = asked.unwrap_or(backoff);
                if last || pause > retries.obeyed {
                    return Err(PullError::RateLimited { host: host.to_owned(), wait_s: pause.as_secs() });
                }
                ("the host asks for a pause".to_owned(), pause)
            }
            Trouble::Expired if last => return Err(PullError::Expired { place, tries }),
            // A new address is to be had at once; if that one is refused too, it is not a matter of time.
            Trouble::Expired => {
                let pause = if tries == 1 { Duration::ZERO } else { backoff };
                ("the signed address is no longer valid".to_owned(), pause)
            }
            Trouble::Changed if last => {
                let why = "the file there changed while it was fetched".to_owned();
                return Err(PullError::Network { place, why, tries });
            }
            Trouble::Changed => ("the file there changed".to_owned(), Duration::ZERO),
            Trouble::Passing(why) if last => return Err(PullError::Network { place, why, tries }),
            Trouble::Passing(why) => (why, backoff),
        };
        self.tell(Step::Again { why, pause });
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn find(&self, digest: Sha256) -> Result<Option<Held>, PullError> {
        self.blocking(move |run| run.depot.cache.find(&digest)).await
    }

    /// Nothing is on its way any longer.
    pub(super) async fn end(&self, part: Part) -> Result<(), PullError> {
        self.blocking(move |run| part.end().map_err(PullError::io(run.depot.cache.root()))).await
    }

    /// From the cache into the models folder. The same content may be in the cache under another kind of name.
    async fn settle(&self, held: Held, how: How) -> Result<Pulled, PullError> {
        self.blocking(move |run| {
            let (name, settings) = (&run.wanted.name, &run.depot.settings);
            check_kind(&held.path, &name.extension(), name.file())?;
            if let Some(expected) = run.wanted.size
                && expected != held.size
            {
                return Err(PullError::WrongSize { place: name.to_string(), expected, actual: held.size });
            }
            let path = link::place(&settings.models, name, settings.links_may_leave)?;
            let linked = link::link(&held, &path, settings, &run.depot.cache)?;
            Ok(Pulled {
                name: name.clone(),
                path,
                size: held.size,
                sha256: Some(held.sha256),
                how,
                linked,
                source: held.record.source.clone(),
                commit: held.record.commit.clone(),
            })
        })
        .await
    }

    pub(super) fn tell(&self, step: Step<'_>) {
        self.listener.tell(Event { item: self.item, name: &self.wanted.name, step });
    }

    /// Does what blocks where that disturbs nobody.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Run<'_>) -> Result<T, PullError> + Send + 'static,
    ) -> Result<T, PullError> {
        let (depot, item) = (Arc::clone(&self.depot), self.item);
        let (wanted, listener) = (self.wanted.clone(), self.listener.clone());
        let task = tokio::task::spawn_blocking(move || {
            act(&Run { depot, item, wanted: &wanted, listener: &listener })
        });
        task.await.map_err(|_| PullError::Thread)?
    }
}

/// The model, if it is in its place already.
fn present(run: &Run<'_>) -> Result<Option<Pulled>, PullError> {
    let Wanted { name, sha256, size, .. } = run.wanted;
    let settings = &run.depot.settings;
    let path = link::place(&settings.models, name, settings.links_may_leave)?;
    let Ok(metadata) = std::fs::metadata(&path) else { return Ok(None) };
    let fits = metadata.is_file() && size.is_none_or(|size| size == metadata.len());
    let fits = fits
        && match sha256 {
            Some(digest) => Sha256::of_file(&path).map_err(PullError::io(&path))?.0 == *digest,
            None => true,
        };
    if !fits && !settings.overwrite {
        return Err(PullError::Conflict { path });
    }
    // Without anything to compare it with, it is what is in the place of what is wanted.
    Ok(fits.then(|| Pulled {
        name: name.clone(),
        path,
        size: metadata.len(),
        sha256: *sha256,
        how: How::Present,
        linked: link::Linked::Already,
        source: None,
        commit: None,
    }))
}

pub(super) fn silent(silence: Duration) -> Trouble {
    Trouble::Passing(format!("nothing came for {} s", silence.as_secs()))
}

/// Whether a file is what its name says.
pub(super) fn check_kind(path: &Path, extension: &str, file: &str) -> Result<(), PullError> {
    if !matches!(extension, "safetensors" | "sft") {
        return Ok(());
    }
    match Header::read(path) {
        Ok(_) => Ok(()),
        Err(BadHeader::Io(error)) => Err(PullError::io(PathBuf::from(path))(error)),
        Err(error) => Err(PullError::Header { file: file.to_owned(), why: error.to_string() }),
    }
}
