//! Where bytes go: onto the disk and into a hash, on threads of their own.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    PullError, Sha256,
    cache::{Part, State},
    digest::Hasher,
};

/// Pieces that wait for the disk, and for the hash. A piece is what the network gives at once: at most some 400 KiB.
const WAITING: usize = 8;

/// A part that is being written. When it is dropped, what arrived is kept.
#[derive(Debug)]
pub(crate) struct Sink {
    pieces: mpsc::Sender<Bytes>,
    thread: JoinHandle<io::Result<Sha256>>,
    /// How many bytes were handed over, those of former tries included.
    taken: u64,
}

impl Sink {
    /// Goes on after the bytes that `hasher` has seen.
    pub(crate) fn start(part: &Part, file: File, state: State, hasher: Hasher, sync_every: Duration) -> Self {
        let (pieces, incoming) = mpsc::channel(WAITING);
        let (part, taken) = (part.clone(), state.synced);
        let thread = thread::spawn(move || write(part, file, state, hasher, sync_every, incoming));
        Self { pieces, thread, taken }
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Hands over a piece. `false` if nothing more can be written: [`Sink::finish`] says why.
    pub(crate) async fn push(&mut self, piece: Bytes) -> bool {
        self.taken += piece.len() as u64;
        self.pieces.send(piece).await.is_ok()
    }

    /// Waits until all of it is on the disk, and says what it hashes to.
    pub(crate) async fn finish(self) -> Result<io::Result<Sha256>, PullError> {
        drop(self.pieces);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join());
        joined.await.map_err(|_| PullError::Thread)?.map_err(|_| PullError::Thread)
    }
}

fn write(
    part: Part,
    mut file: File,
    state: State,
    hasher: Hasher,
    sync_every: Duration,
    mut incoming: mpsc::Receiver<Bytes>,
) -> io::Result<Sha256> {
    let written = Arc::new(AtomicU64::new(state.synced));
    let (to_hash, pieces) = sync_channel::<Bytes>(WAITING);
    let hash = thread::spawn(move || {
        let mut hasher = hasher;
        for piece in pieces {
            hasher.update(&piece);
        }
        hasher.finish()
    });
    let (ending, ended) = sync_channel::<()>(0);
    let (synced_file, counted) = (file.try_clone()?, Arc::clone(&written));
    let sync = thread::spawn(move || {
        let mut state = state;
        loop {
            let last = match ended.recv_timeout(sync_every) {
                Err(RecvTimeoutError::Timeout) => false,
                Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            };
            // In this order: what is told to be there is there.
            let count = counted.load(Ordering::Acquire);
            if count != state.synced || last {
                synced_file.sync_all()?;
                state.synced = count;
                part.save(&state)?;
            }
            if last {
                return Ok(());
            }
        }
    });
    let copied = copy(&mut file, &mut incoming, &written, to_hash);
    drop(ending);
    let synced: io::Result<()> = sync.join().unwrap_or_else(|_| Err(io::Error::other("a thread ended")));
    let digest = hash.join().map_err(|_| io::Error::other("a thread ended"));
    copied.and(synced).and(digest)
}

fn copy(
    file: &mut File,
    incoming: &mut mpsc::Receiver<Bytes>,
    written: &AtomicU64,
    to_hash: SyncSender<Bytes>,
) -> io::Result<()> {
    while let Some(piece) = incoming.blocking_recv() {
        file.write_all(&piece)?;
        written.fetch_add(piece.len() as u64, Ordering::Release);
        to_hash.send(piece).map_err(|_| io::Error::other("a thread ended"))?;
    }
    Ok(())
}
