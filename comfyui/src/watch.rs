use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use comfyport_workflow::json::Value;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::{Client, ClientError, Event, Outcome, OutputItem, QueueSnapshot, waiter::Waiter};

/// Follows one prompt to its end.
pub(crate) struct Watch {
    client: Client,
    id: String,
    waiter: Arc<Waiter>,
    /// The connection ComfyUI sends this prompt's events to.
    client_id: Option<String>,
    position: Option<usize>,
    missing_since: Option<Instant>,
    failing_since: Option<Instant>,
    moved: Instant,
    seen: (Vec<String>, u64),
}

enum Look {
    Pending,
    Over(Outcome),
}

impl Watch {
    pub(crate) fn register(
        client: Client,
        id: String,
        waiter: Arc<Waiter>,
        client_id: Option<String>,
    ) -> Self {
        client.socket().register(&id, waiter.clone());
        Self {
            client,
            id,
            waiter,
            client_id,
            position: None,
            missing_since: None,
            failing_since: None,
            moved: Instant::now(),
            seen: (Vec::new(), 0),
        }
    }

    /// The prompt was accepted: start the clocks.
    pub(crate) fn arm(&mut self) {
        self.moved = Instant::now();
        if !self.covered() {
            self.waiter.send(Event::Unknown);
        }
    }

    fn covered(&self) -> bool {
        self.client_id.as_ref().is_some_and(|id| self.client.socket().is_open(id))
    }

    pub(crate) async fn run(mut self, outcome: oneshot::Sender<Outcome>) {
        let waiter = self.waiter.clone();
        let watched = tokio::select! {
            ended = self.follow() => Some(ended),
            () = waiter.dropped() => None,
        };
        if let Some(ended) = watched {
            // Nobody listening is as good as dropped.
            let _ = outcome.send(ended);
        }
    }

    async fn follow(&mut self) -> Outcome {
        let config = self.client.config().clone();
        let mut pause = config.poll_min;
        loop {
            let longest = if self.covered() { config.poll_max } else { config.poll_min * 2 };
            tokio::select! {
                () = self.waiter.look.notified() => pause = config.poll_min,
                () = sleep(pause.min(longest)) => pause = pause.mul_f32(1.5).min(longest.max(config.poll_min)),
            }
            match self.look().await {
                Ok(Look::Over(outcome)) => return self.finish(outcome).await,
                Ok(Look::Pending) => self.failing_since = None,
                Err(error) => {
                    let since = *self.failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= config.unreachable_after {
                        return Outcome::Unreachable(error);
                    }
                }
            }
            if self.missing_since.is_some() {
                pause = config.poll_min;
            }
            if self.stalled(config.stall_after) {
                return Outcome::Stalled;
            }
        }
    }

    /// Looks into the queue, then into history.
    async fn look(&mut self) -> Result<Look, ClientError> {
        let queue = self.client.queue().await?;
        let entry = self.client.entry(&self.id).await?;
        // An id in the queue cannot have this run's entry: it may be one of an earlier run under the same id.
        if queue.contains(&self.id) {
            self.missing_since = None;
            self.report(&queue);
            return Ok(Look::Pending);
        }
        if let Some(entry) = entry {
            return Ok(Look::Over(Outcome::read(&entry)));
        }
        if self.waiter.removed.load(Ordering::Relaxed) {
            return Ok(Look::Over(Outcome::Cancelled));
        }
        let first = self.missing_since.is_none();
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        if !first && since.elapsed() >= self.client.config().lost_grace {
            return Ok(Look::Over(Outcome::Lost));
        }
        Ok(Look::Pending)
    }

    fn report(&mut self, queue: &QueueSnapshot) {
        let position = queue.position(&self.id);
        if position != self.position {
            self.position = position;
            if let Some(position) = position {
                self.waiter.send(Event::Queued { position });
            }
        }
        let seen = (queue.running.clone(), self.client.socket().activity());
        if seen != self.seen {
            self.seen = seen;
            self.moved = Instant::now();
        }
    }

    fn stalled(&self, after: Option<Duration>) -> bool {
        // A ComfyUI that cannot be asked is unreachable, one that does not know the prompt has lost it.
        let known = self.failing_since.is_none() && self.missing_since.is_none();
        known && after.is_some_and(|after| self.moved.elapsed() >= after)
    }

    /// Adds the pictures that came over the socket.
    async fn finish(&self, outcome: Outcome) -> Outcome {
        let Outcome::Succeeded { mut outputs, timing, .. } = outcome else { return outcome };
        // History can be seen before the socket's last frames are read.
        let until = Instant::now() + self.client.config().poll_min;
        while self.covered() && !self.waiter.complete() && Instant::now() < until {
            tokio::select! {
                () = self.waiter.look.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
        let (pictures, missing) = self.waiter.take_pictures();
        for (node, pictures) in pictures {
            let items =
                pictures.into_iter().map(|(content_type, data)| OutputItem::Bytes { content_type, data });
            outputs.entry(node).or_default().items.extend(items);
        }
        Outcome::Succeeded { outputs, missing, timing }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.client.socket().release(&self.id, &self.waiter);
        self.waiter.close();
    }
}

impl Client {
    pub(crate) async fn entry(&self, id: &str) -> Result<Option<Value>, ClientError> {
        let said = self.http().get_at(&["history", id]).await?;
        let entries = said.as_object().ok_or(ClientError::Shape("history"))?;
        Ok(entries.get(id).filter(|entry| entry.as_object().is_some()).cloned())
    }
}
