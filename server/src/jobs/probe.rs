//! Whether the job store takes what it is given.

use std::time::{Duration, Instant};

use comfyport_store::StoreError;
use tokio::sync::Mutex;

use super::Jobs;

/// Whoever asks more often is told what was found last.
const FRESH: Duration = Duration::from_secs(1);

/// What was found last, and when.
#[derive(Debug, Default)]
pub(super) struct Probe(Mutex<Option<(Instant, Option<StoreError>)>>);

impl Jobs {
    /// Why nothing can be written down at the moment. It is found out by writing: a disk that is full can be read.
    pub async fn store_fault(&self) -> Option<StoreError> {
        let mut last = self.probe.0.lock().await;
        if let Some((_, fault)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return fault.clone();
        }
        let fault = self.store.beat(self.id.clone(), self.name.clone()).await.err();
        *last = Some((Instant::now(), fault.clone()));
        fault
    }
}
