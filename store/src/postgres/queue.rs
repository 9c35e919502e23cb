//! Transactions that wait for a connection.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{StoreError, database::Order};

/// A queue that refuses what it cannot hold, and what it has held for too long.
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    /// For whoever refuses what waited too long, and for those who pause.
    changed: Condvar,
    /// Transactions that write and are not answered.
    backlog: AtomicUsize,
    commits: AtomicU64,
    patience: Duration,
    most: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    closed: bool,
    /// Why there is no connection, if there was none the last time.
    trouble: Option<StoreError>,
}

/// A transaction that waits, or is under way.
pub(super) struct Waiting {
    pub(super) order: Order,
    pub(super) writes: bool,
    pub(super) since: Instant,
}

impl Queue {
    pub(super) fn new(patience: Duration, most: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            changed: Condvar::new(),
            backlog: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
            patience,
            most,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// How many commits there were.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Lines a transaction up, or refuses it.
    pub(super) fn push(&self, order: Order, writes: bool) {
        let mut state = self.state();
        if state.waiting.len() >= self.most {
            let why = StoreError::Unavailable(format!("{} transactions wait for a connection", self.most));
            let why = state.trouble.clone().unwrap_or(why);
            drop(state);
            order.done.send(Err(why)).ok();
            return;
        }
        self.backlog.fetch_add(usize::from(writes), Ordering::Relaxed);
        let alone = state.waiting.is_empty();
        state.waiting.push_back(Waiting { order, writes, since: Instant::now() });
        drop(state);
        self.arrived.notify_one();
        if alone {
            self.changed.notify_all();
        }
    }

    /// Puts a transaction that was not begun back to where it was.
    pub(super) fn put_back(&self, waiting: Waiting) {
        self.state().waiting.push_front(waiting);
        self.arrived.notify_one();
        self.changed.notify_all();
    }

    /// The next transaction, once there is one. `None` when it is closed and nothing waits.
    pub(super) fn next(&self) -> Option<Waiting> {
        let mut state = self.state();
        loop {
            if let Some(waiting) = state.waiting.pop_front() {
                return Some(waiting);
            }
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Answers a transaction.
    pub(super) fn answer(&self, waiting: Waiting, answer: Result<(), StoreError>) {
        self.backlog.fetch_sub(usize::from(waiting.writes), Ordering::Relaxed);
        self.commits.fetch_add(u64::from(waiting.writes && answer.is_ok()), Ordering::Relaxed);
        waiting.order.done.send(answer).ok();
    }

    /// Notes whether there are connections.
    pub(super) fn note(&self, trouble: Option<StoreError>) {
        self.state().trouble = trouble;
    }

    /// Waits for that long, unless it is closed meanwhile. Answers whether it is open.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let state = self.state();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, pause, |state| !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }

    /// No more transactions come. Those that wait are still carried out, if there is a connection.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
        self.changed.notify_all();
    }

    /// Refuses what waited too long, until the queue is closed.
    pub(super) fn refuse_overdue(&self) {
        let mut state = self.state();
        while !state.closed {
            let age = state.waiting.front().map(|oldest| oldest.since.elapsed());
            state = match age.map(|age| self.patience.checked_sub(age).filter(|left| !left.is_zero())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Some(left)) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(None) => {
                    let overdue = state.waiting.pop_front();
                    let why = StoreError::Unavailable(format!(
                        "no connection became free within {} s",
                        self.patience.as_secs()
                    ));
                    let why = state.trouble.clone().unwrap_or(why);
                    drop(state);
                    if let Some(overdue) = overdue {
                        self.answer(overdue, Err(why));
                    }
                    self.state()
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;

    type Answer = oneshot::Receiver<Result<(), StoreError>>;

    fn push(queue: &Queue) -> Answer {
        let (done, answer) = oneshot::channel();
        queue.push(Order { work: Box::new(|_| Ok(())), done }, true);
        answer
    }

    #[test]
    fn too_many_are_refused_at_once() {
        let queue = Queue::new(Duration::from_mins(1), 2);
        let mut waiting = [push(&queue), push(&queue)];
        let refused = push(&queue).blocking_recv().unwrap().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the job store is not available: 2 transactions wait for a connection"
        );
        assert_eq!(queue.backlog(), 2);
        assert!(waiting.iter_mut().all(|answer| answer.try_recv().is_err()));
    }

    #[test]
    fn the_overdue_are_refused_and_the_rest_goes_on() {
        let queue = Arc::new(Queue::new(Duration::from_millis(20), 9));
        queue.note(Some(StoreError::Unavailable("it is away".to_owned())));
        let clock = Arc::clone(&queue);
        let clock = std::thread::spawn(move || clock.refuse_overdue());
        let refused = push(&queue).blocking_recv().unwrap().unwrap_err();
        assert_eq!(refused.to_string(), "the job store is not available: it is away");
        assert_eq!(queue.backlog(), 0);
        queue.close();
        clock.join().unwrap();
        // What was lined up before it closed is still handed out.
        let answer = push(&queue);
        let waiting = queue.next().unwrap();
        queue.answer(waiting, Ok(()));
        assert!(answer.blocking_recv().unwrap().is_ok());
        assert!(queue.next().is_none());
    }
}
