//! A value that an engine is asked for now and then.

use std::{
    future::Future,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::engine::EngineError;

/// How long answers are believed.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// A good answer is not questioned before this.
    pub fresh: Duration,
    /// An error is repeated to everybody who asks within this.
    pub error: Duration,
}

/// One remembered answer, fetched by one caller at a time while the others wait for it.
#[derive(Debug)]
pub(super) struct Cached<T> {
    value: RwLock<Memory<T>>,
    fetching: tokio::sync::Mutex<()>,
    /// How often everything was forgotten.
    forgotten: AtomicU64,
}

#[derive(Debug)]
struct Memory<T> {
    /// What was answered last, unless it was forgotten.
    latest: Option<Known<T>>,
    /// The last good answer.
    good: Option<Arc<T>>,
    /// Whether nothing has called it into question.
    is_sound: bool,
}

#[derive(Debug)]
struct Known<T> {
    at: Instant,
    answer: Result<Arc<T>, EngineError>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self {
            value: RwLock::new(Memory { latest: None, good: None, is_sound: false }),
            fetching: tokio::sync::Mutex::default(),
            forgotten: AtomicU64::default(),
        }
    }
}

impl<T> Cached<T> {
    /// The remembered answer unless it is too old, or older than `since`; else a new one.
    pub(super) async fn get<F>(
        &self,
        ages: &Ages,
        since: Option<Instant>,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        if let Some(answer) = self.known(ages, since) {
            return answer;
        }
        let _turn = self.fetching.lock().await;
        // Whoever had the turn before may have brought what is wanted.
        if let Some(answer) = self.known(ages, since) {
            return answer;
        }
        let (at, forgotten) = (Instant::now(), self.forgotten.load(Ordering::SeqCst));
        let answer = fetch().await.map(Arc::new);
        let known = Known { at, answer: answer.clone() };
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        // An answer to what was asked before everything was forgotten is not worth keeping.
        if self.forgotten.load(Ordering::SeqCst) == forgotten {
            if let Ok(good) = &answer {
                (value.good, value.is_sound) = (Some(Arc::clone(good)), true);
            }
            value.latest = Some(known);
        }
        answer
    }

    fn known(&self, ages: &Ages, since: Option<Instant>) -> Option<Result<Arc<T>, EngineError>> {
        let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
        let known = value.latest.as_ref()?;
        let age = if known.answer.is_ok() { ages.fresh } else { ages.error };
        let good = known.at.elapsed() < age && since.is_none_or(|since| known.at >= since);
        good.then(|| known.answer.clone())
    }

    /// Forgets what is known: something happened that it did not foretell.
    pub(super) fn forget(&self) {
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        (value.latest, value.is_sound) = (None, false);
    }

    /// The last good answer, however old, unless it was forgotten.
    pub(super) fn remembered(&self) -> Option<Arc<T>> {
        let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
        value.good.clone().filter(|_| value.is_sound)
    }

    /// The last good answer, even if it was forgotten.
    pub(super) fn last_good(&self) -> Option<Arc<T>> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).good.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_askers_share_one_question() {
        let ages = Ages { fresh: Duration::from_mins(1), error: Duration::from_mins(1) };
        let (cached, asked) = (Cached::<u32>::default(), AtomicU32::new(0));
        let fetch = || async {
            tokio::task::yield_now().await;
            Ok(asked.fetch_add(1, Ordering::SeqCst))
        };
        let all = futures_util::future::join_all((0..20).map(|_| cached.get(&ages, None, fetch))).await;
        assert!(all.iter().all(|answer| **answer.as_ref().unwrap() == 0));
        let since = Instant::now();
        assert_eq!(*cached.get(&ages, Some(since), fetch).await.unwrap(), 1);
        cached.forget();
        assert_eq!(*cached.get(&ages, None, fetch).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn an_answer_that_was_forgotten_on_its_way_is_not_kept() {
        let ages = Ages { fresh: Duration::from_mins(1), error: Duration::from_mins(1) };
        let cached = Cached::<u32>::default();
        let late = cached.get(&ages, None, async || {
            cached.forget();
            Ok(1)
        });
        assert_eq!(*late.await.unwrap(), 1);
        assert_eq!(*cached.get(&ages, None, async || Ok(2)).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn errors_are_remembered_for_their_own_time() {
        let ages = Ages { fresh: Duration::from_mins(1), error: Duration::ZERO };
        let cached = Cached::<u32>::default();
        let failed = cached.get(&ages, None, async || Err(EngineError::NotFound)).await;
        assert!(failed.is_err());
        assert_eq!(*cached.get(&ages, None, async || Ok(7)).await.unwrap(), 7);
    }
}
