//! Bytes on their way from a source into a part, over as many tries as it takes.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{
    How,
    run::{Agreed, Row, Run, check_kind, silent},
};
use crate::{
    PullError, Sha256, Source,
    cache::{Alias, Held, Part, State},
    digest::Hasher,
    progress::{Meter, Step},
    sink::Sink,
    trouble::Trouble,
    ways::{Conditions, Located, Opened, Start},
};

/// What is read at a time when a part is read again.
const BLOCK: usize = 1 << 20;

/// How a web page begins, whatever it is called.
const PAGES: [&[u8]; 2] = [b"<!doctype html", b"<html"];

/// A file on its way.
struct Transfer {
    part: Part,
    agreed: Agreed,
    /// What is true of the bytes that are there.
    state: State,
    sink: Option<Sink>,
    /// What came over the network, in bytes.
    fetched: u64,
    /// What former tries had left, in bytes.
    resumed: u64,
}

/// How a try ends that does not fail.
enum End {
    /// All bytes are there.
    Complete,
    /// Nothing is new: this is the content.
    Same(Held),
}

impl Run<'_> {
    /// Fetches a file that was located.
    pub(super) async fn transfer(
        &self,
        source: &Source,
        mut located: Located,
        agreed: Agreed,
        part: Part,
        mut row: Row,
    ) -> Result<(Held, How), PullError> {
        let state = part.state().unwrap_or_default();
        let mut transfer = Transfer { part, agreed, state, sink: None, fetched: 0, resumed: 0 };
        loop {
            let before = transfer.fetched;
            let trouble = match Box::pin(self.attempt(&located, &mut transfer)).await {
                Ok(End::Same(held)) => {
                    self.end(transfer.part).await?;
                    return Ok((held, How::Cached));
                }
                Ok(End::Complete) => match self.complete(&located, &mut transfer).await {
                    Ok(held) => {
                        let Transfer { fetched: bytes, resumed, .. } = transfer;
                        return Ok((held, How::Fetched { bytes, resumed }));
                    }
                    // The halves may not belong together. Nothing is left of them, so this happens once.
                    Err(PullError::WrongHash { .. } | PullError::WrongSize { .. })
                        if transfer.resumed > 0 =>
                    {
                        Trouble::Changed
                    }
                    Err(error) => return Err(error),
                },
                Err(trouble) => trouble,
            };
            if transfer.fetched > before {
                row.ends();
            }
            if matches!(trouble, Trouble::Changed) {
                self.forget(&mut transfer).await?;
            }
            let endured = self.endure(&mut row, trouble, &located.place, &located.host()).await;
            if let Err(error) = endured {
                self.keep(transfer).await?;
                return Err(error);
            }
            if located.is_signed() {
                located = match self.locate(source, &mut row).await {
                    Ok(located) => located,
                    Err(error) => {
                        self.keep(transfer).await?;
                        return Err(error);
                    }
                };
                let former = transfer.agreed;
                transfer.agreed = self.agree(&located)?;
                if former != transfer.agreed {
                    self.forget(&mut transfer).await?;
                }
            }
        }
    }

    /// One try: goes on where the last one stopped.
    async fn attempt(&self, located: &Located, transfer: &mut Transfer) -> Result<End, Trouble> {
        let silence = self.depot.settings.retries.silence;
        self.prepare(located, transfer).await?;
        let offset = transfer.sink.as_ref().map_or(0, Sink::taken);
        if offset > 0 && transfer.agreed.size.or(transfer.state.length) == Some(offset) {
            return Ok(End::Complete);
        }
        let same_place = transfer.state.place == located.place;
        let unknown = offset == 0 && transfer.agreed.sha256.is_none();
        let alias = unknown.then(|| self.depot.cache.alias(&located.address())).flatten();
        let alias = alias.filter(|alias| self.depot.cache.blob(&alias.sha256).exists());
        let conditions = Conditions {
            offset,
            if_range: transfer.state.etag.clone().filter(|_| offset > 0 && same_place),
            if_none_match: alias.as_ref().map(|alias| alias.etag.clone()),
        };
        let opened = timeout(silence, self.depot.ways.open(located, &conditions)).await;
        let opened = opened.map_err(|_| silent(silence))??;
        let total = match opened.start {
            Start::Same => return self.same(alias).await,
            Start::Beyond { total } if total == Some(offset) => return Ok(End::Complete),
            Start::Beyond { .. } => return Err(Trouble::Changed),
            Start::At { offset: at, total } if at == offset => {
                let differs = opened.etag.is_some() && opened.etag != transfer.state.etag;
                if at > 0 && same_place && transfer.state.etag.is_some() && differs {
                    // It goes on with something else, although it was asked not to.
                    return Err(Trouble::Changed);
                }
                total
            }
            Start::At { total, .. } => {
                // It sends all of it, whatever was asked for.
                self.forget(transfer).await?;
                total
            }
        };
        self.measure(located, transfer, total)?;
        self.begin(located, transfer, opened.etag.clone(), total).await?;
        self.copy(located, transfer, opened).await
    }

    /// Finds out what former tries have left, and whether that can be gone on with.
    async fn prepare(&self, located: &Located, transfer: &mut Transfer) -> Result<(), PullError> {
        let State { sha256, etag, length, synced, place } = &transfer.state;
        // Either the hash will tell in the end whether it is one file, or the host can tell now.
        let telling = sha256.is_some() || (etag.is_some() && *place == located.place);
        if transfer.sink.is_some() {
            return if telling { Ok(()) } else { self.forget(transfer).await };
        }
        if *synced == 0 {
            return Ok(());
        }
        let same = *sha256 == transfer.agreed.sha256;
        let fits = transfer.agreed.size.is_none_or(|size| *length == Some(size) && *synced <= size);
        if !(same && telling && fits) {
            return self.forget(transfer).await;
        }
        let (part, bytes) = (transfer.part.clone(), *synced);
        self.tell(Step::Rereading { bytes });
        let every = self.depot.settings.sync_every;
        let state = transfer.state.clone();
        let sink = self.blocking(move |_| {
            let file = part.open(bytes).map_err(PullError::io(part.path()))?;
            let hasher = reread(&file, bytes).map_err(PullError::io(part.path()))?;
            Ok(Sink::start(&part, file, state, hasher, every))
        });
        (transfer.sink, transfer.resumed) = (Some(sink.await?), bytes);
        Ok(())
    }

    /// Lengths that contradict each other are found before a byte is taken.
    fn measure(&self, located: &Located, transfer: &Transfer, total: Option<u64>) -> Result<(), Trouble> {
        let Some(actual) = total else { return Ok(()) };
        let place = || located.place.clone();
        let largest = self.depot.settings.largest;
        if actual > largest {
            return Err(PullError::TooLarge { place: place(), largest }.into());
        }
        match (transfer.agreed.size, transfer.state.length) {
            (Some(expected), _) if expected != actual => {
                Err(PullError::WrongSize { place: place(), expected, actual }.into())
            }
            (None, Some(former)) if transfer.sink.is_some() && former != actual => Err(Trouble::Changed),
            _ => Ok(()),
        }
    }

    /// Asks for room, and begins to write unless a former try did.
    async fn begin(
        &self,
        located: &Located,
        transfer: &mut Transfer,
        etag: Option<String>,
        total: Option<u64>,
    ) -> Result<(), PullError> {
        if transfer.sink.is_some() {
            return Ok(());
        }
        let length = transfer.agreed.size.or(total);
        let (place, sha256) = (located.place.clone(), transfer.agreed.sha256);
        let state = State { place, sha256, etag, length, synced: 0 };
        transfer.state = state.clone();
        let (part, every) = (transfer.part.clone(), self.depot.settings.sync_every);
        let sink = self.blocking(move |run| {
            part.clear().map_err(PullError::io(part.path()))?;
            run.depot.cache.make_room(length.unwrap_or(0))?;
            let file = part.open(0).map_err(PullError::io(part.path()))?;
            if let Err(error) = reserve(&file, length.unwrap_or(0)) {
                // It is known before the first byte that the last one has no room.
                part.clear().map_err(PullError::io(part.path()))?;
                return Err(PullError::io(run.depot.cache.root())(error));
            }
            Ok(Sink::start(&part, file, state, Hasher::default(), every))
        });
        transfer.sink = Some(sink.await?);
        Ok(())
    }

    /// Takes what arrives.
    async fn copy(&self, located: &Located, transfer: &mut Transfer, opened: Opened) -> Result<End, Trouble> {
        let (silence, largest) = (self.depot.settings.retries.silence, self.depot.settings.largest);
        let total = transfer.agreed.size.or(transfer.state.length);
        let place = || located.place.clone();
        let mut body = opened.body;
        let Some(mut sink) = transfer.sink.take() else { return Err(PullError::Thread.into()) };
        let mut meter = Meter::new(sink.taken());
        let outcome = loop {
            let piece = match timeout(silence, body.next()).await {
                Err(_) => break Err(silent(silence)),
                Ok(None) => break Ok(()),
                Ok(Some(Err(trouble))) => break Err(trouble),
                Ok(Some(Ok(piece))) => piece,
            };
            if sink.taken() == 0 && is_page(&piece) {
                break Err(PullError::Html { place: place(), variable: located.variable() }.into());
            }
            let after = sink.taken() + piece.len() as u64;
            match total {
                Some(expected) if after > expected => {
                    break Err(PullError::WrongSize { place: place(), expected, actual: after }.into());
                }
                None if after > largest => break Err(PullError::TooLarge { place: place(), largest }.into()),
                _ => {}
            }
            transfer.fetched += piece.len() as u64;
            if !sink.push(piece).await {
                return Err(self.unwritable(transfer, sink).await.into());
            }
            if let Some(progress) = meter.measure(after, total) {
                self.tell(Step::Bytes(progress));
            }
        };
        let taken = sink.taken();
        transfer.sink = Some(sink);
        match outcome {
            Ok(()) if total.is_none_or(|total| total == taken) => Ok(End::Complete),
            Ok(()) => Err(Trouble::Passing("the connection broke off".to_owned())),
            Err(Trouble::Fatal(error)) => {
                self.forget(transfer).await?;
                Err(error.into())
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Why nothing more could be written. What was written is given back: a full disk harms others too.
    async fn unwritable(&self, transfer: &mut Transfer, sink: Sink) -> PullError {
        let outcome = sink.finish().await;
        if let Err(error) = self.forget(transfer).await {
            return error;
        }
        match outcome {
            Ok(Err(error)) => PullError::io(self.depot.cache.root())(error),
            Ok(Ok(_)) => PullError::Thread,
            Err(error) => error,
        }
    }

    /// All bytes are there: if they are the right ones, they get their name.
    async fn complete(&self, located: &Located, transfer: &mut Transfer) -> Result<Held, PullError> {
        self.tell(Step::Checking);
        let Some(sink) = transfer.sink.take() else { return Err(PullError::Thread) };
        let size = sink.taken();
        let actual = match sink.finish().await? {
            Ok(actual) => actual,
            Err(error) => {
                self.clear(transfer).await?;
                return Err(PullError::io(self.depot.cache.root())(error));
            }
        };
        if let Err(error) = check(located, &transfer.agreed, actual, size) {
            self.clear(transfer).await?;
            return Err(error);
        }
        let (part, place, commit) = (transfer.part.clone(), located.place.clone(), located.commit.clone());
        let address = located.address();
        let etag = transfer.state.etag.clone().filter(|_| transfer.agreed.sha256.is_none());
        self.blocking(move |run| {
            let name = &run.wanted.name;
            if let Err(error) = check_kind(&part.path(), &name.extension(), name.file()) {
                part.clear().map_err(PullError::io(part.path()))?;
                return Err(error);
            }
            let held = run.depot.cache.publish(&part.path(), actual, place, commit)?;
            if let Some(etag) = etag {
                run.depot.cache.remember(&address, &Alias { sha256: actual, etag })?;
            }
            part.end().map_err(PullError::io(run.depot.cache.root()))?;
            Ok(held)
        })
        .await
    }

    /// The content that an address had the last time, which it still has.
    async fn same(&self, alias: Option<Alias>) -> Result<End, Trouble> {
        let Some(alias) = alias else { return Err(Trouble::Changed) };
        let held = self.blocking(move |run| run.depot.cache.find(&alias.sha256)).await?;
        held.map(End::Same).ok_or(Trouble::Changed)
    }

    /// Brings what was fetched onto the disk, for another time.
    async fn keep(&self, transfer: Transfer) -> Result<(), PullError> {
        if let Some(sink) = transfer.sink {
            // The error that is told is the one that led here.
            let _ = sink.finish().await?;
        }
        Ok(())
    }

    /// Forgets what was fetched, and that anything had been.
    async fn forget(&self, transfer: &mut Transfer) -> Result<(), PullError> {
        transfer.resumed = 0;
        self.clear(transfer).await
    }

    async fn clear(&self, transfer: &mut Transfer) -> Result<(), PullError> {
        if let Some(sink) = transfer.sink.take() {
            // Its threads write a last time when they end: not after this.
            let _ = sink.finish().await?;
        }
        transfer.state = State::default();
        let part = transfer.part.clone();
        self.blocking(move |_| part.clear().map_err(PullError::io(part.path()))).await
    }
}

fn check(located: &Located, agreed: &Agreed, actual: Sha256, size: u64) -> Result<(), PullError> {
    let place = located.place.clone();
    if let Some(expected) = agreed.size
        && expected != size
    {
        return Err(PullError::WrongSize { place, expected, actual: size });
    }
    match agreed.sha256 {
        Some(expected) if expected != actual => Err(PullError::WrongHash { place, expected, actual }),
        _ => Ok(()),
    }
}

/// Reads what is there into a hash. The file stands behind it afterwards.
fn reread(mut file: &File, bytes: u64) -> io::Result<Hasher> {
    let mut hasher = Hasher::default();
    let mut block = vec![0; BLOCK];
    file.seek(SeekFrom::Start(0))?;
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        let room = block.get_mut(..most).unwrap_or_default();
        file.read_exact(room)?;
        hasher.update(room);
        left -= most as u64;
    }
    Ok(hasher)
}

/// Reserves room for a whole file, where the file system can do that, so that it cannot run out on the way.
fn reserve(file: &File, length: u64) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, length) {
        Err(rustix::io::Errno::NOSPC) => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    }
}

fn is_page(piece: &Bytes) -> bool {
    let start = piece.trim_ascii_start();
    PAGES.iter().any(|page| start.get(..page.len()).is_some_and(|start| start.eq_ignore_ascii_case(page)))
}
