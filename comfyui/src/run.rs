use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{ClientError, Event, Outcome};

/// A prompt ComfyUI accepted. Dropping it stops the watching, not the prompt.
#[derive(Debug)]
pub struct Run {
    pub(crate) prompt_id: Uuid,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) outcome: oneshot::Receiver<Outcome>,
}

impl Run {
    /// The id it was submitted under.
    pub fn prompt_id(&self) -> Uuid {
        self.prompt_id
    }

    /// The next event; `None` once the run is over. Safe to drop and call again.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// How it ends. Events not read yet are passed over.
    pub async fn outcome(mut self) -> Outcome {
        while self.events.recv().await.is_some() {}
        // The watcher ends without a word only when its runtime does.
        self.outcome.await.unwrap_or(Outcome::Unreachable(ClientError::Timeout))
    }
}
