//! Files that come in: spooled as they arrive, and kept under names that are made from their content.
//!
//! What a caller calls a file never becomes a name. The same content has the same name, and is kept once.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};

use super::{
    Files, is_there_and_young, send,
    store::{self, Spool, Spooled, hex},
};
use crate::media::{HEAD, moving::Place};

/// A file that arrived, and goes again unless it is kept.
pub struct Received {
    spooled: Spooled,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its first [`HEAD`] bytes.
    pub head: Vec<u8>,
}

impl Received {
    /// Where it can be looked at for as long as it is not kept.
    pub fn place(&self) -> Place {
        match &self.spooled {
            Spooled::Here(data) => Place::Here(Bytes::copy_from_slice(data)),
            Spooled::File(temporary) => Place::File(temporary.0.clone()),
        }
    }
}

impl std::fmt::Debug for Received {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Received").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError<E> {
    /// Whoever sent it broke off.
    #[error("{0}")]
    Sender(E),
    /// It is larger than allowed, in bytes.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// The data directory cannot be written.
    #[error("the data directory cannot be written: {0}")]
    Io(io::Error),
}

impl Files {
    /// Takes a file in, piece by piece.
    pub async fn receive<E>(
        &self,
        data: impl Stream<Item = Result<Bytes, E>>,
        largest: u64,
    ) -> Result<Received, ReceiveError<E>> {
        let mut data = std::pin::pin!(data);
        let mut spool = Spool::new(&self.folder);
        let (mut size, mut head) = (0_u64, Vec::new());
        while let Some(chunk) = data.next().await {
            let chunk = chunk.map_err(ReceiveError::Sender)?;
            size += chunk.len() as u64;
            if size > largest {
                return Err(ReceiveError::TooLarge(largest));
            }
            head.extend_from_slice(&chunk[..chunk.len().min(HEAD - head.len())]);
            spool.pending.extend_from_slice(&chunk);
            spool.write(false).await.map_err(ReceiveError::Io)?;
        }
        let (spooled, size, sha256) = spool.close().await.map_err(ReceiveError::Io)?;
        Ok(Received { spooled, size, sha256, head })
    }

    /// Keeps a file that arrived. Answers its name.
    pub async fn keep(&self, received: Received, extension: &str) -> io::Result<Arc<str>> {
        let name: Arc<str> = format!("{}.{extension}", received.sha256).into();
        match received.spooled {
            Spooled::Here(data) => self.put(&name, data.into()).await?,
            Spooled::File(temporary) => {
                if let Some(shared) = &self.shared {
                    let mut file = tokio::fs::File::open(&temporary.0).await?;
                    send(shared, &name, &mut file).await?;
                } else {
                    let (path, ages) = (self.path(&name)?, Arc::clone(&self.ages));
                    let named = tokio::task::spawn_blocking(move || {
                        if is_there_and_young(&path, &ages)? {
                            Ok(())
                        } else {
                            store::rename(&temporary.0, &path)
                        }
                    });
                    named.await.map_err(io::Error::other)??;
                }
            }
        }
        Ok(name)
    }

    /// Keeps a file that is here. Answers its name.
    pub async fn keep_bytes(&self, data: Bytes, extension: &str) -> io::Result<Arc<str>> {
        let hashed = data.clone();
        let sha256 = tokio::task::spawn_blocking(move || hex(&Sha256::digest(&hashed)));
        let name: Arc<str> = format!("{}.{extension}", sha256.await.map_err(io::Error::other)?).into();
        self.put(&name, data).await?;
        Ok(name)
    }

    /// The size of a file that somebody is about to refer to; `None` if it is not there.
    pub async fn renew(&self, name: &str) -> io::Result<Option<u64>> {
        if let Some(shared) = &self.shared {
            return shared.renew_chunks(name.to_owned()).await.map_err(io::Error::other);
        }
        let (path, ages) = (self.path(name)?, Arc::clone(&self.ages));
        let renewed = tokio::task::spawn_blocking(move || {
            Ok(if is_there_and_young(&path, &ages)? { Some(std::fs::metadata(&path)?.len()) } else { None })
        });
        renewed.await.map_err(io::Error::other)?
    }

    /// The first [`HEAD`] bytes of a file; `None` if it is not there.
    pub async fn head(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(mut data) = self.read(name, 0, HEAD as u64).await? else { return Ok(None) };
        let mut head = Vec::new();
        while let Some(chunk) = data.next().await {
            match chunk {
                Ok(chunk) => head.extend_from_slice(&chunk),
                // In pieces, a file that is shorter than asked for breaks off.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !head.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Some(head))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn pieces(count: usize, size: usize) -> impl Stream<Item = Result<Bytes, io::Error>> {
        stream::iter((0..count).map(move |_| Ok(vec![7; size].into())))
    }

    #[tokio::test]
    async fn what_arrives_is_kept_once_under_its_content() {
        let data = tempfile::tempdir().unwrap();
        let files = Files::open(data.path(), 100, None).unwrap();
        let list = || std::fs::read_dir(data.path().join("files")).unwrap().count();
        for (count, size) in [(3, 10), (40, 100_000)] {
            let mut names = Vec::new();
            for _ in 0..2 {
                let received = files.receive(pieces(count, size), 1 << 30).await.unwrap();
                assert_eq!(
                    (received.size, received.head.len()),
                    ((count * size) as u64, (count * size).min(HEAD))
                );
                names.push(files.keep(received, "bin").await.unwrap());
            }
            let here = files.keep_bytes(vec![7; count * size].into(), "bin").await.unwrap();
            assert!(names.iter().all(|name| *name == here), "{names:?}");
            assert_eq!(files.renew(&here).await.unwrap(), Some((count * size) as u64));
            assert_eq!(files.head(&here).await.unwrap().unwrap().len(), (count * size).min(HEAD));
        }
        assert_eq!(list(), 2);
        let error = files.receive(pieces(40, 100_000), 3_999_999).await.unwrap_err();
        assert!(matches!(error, ReceiveError::TooLarge(3_999_999)));
        drop(files.receive(pieces(40, 100_000), 1 << 30).await.unwrap());
        let broken = pieces(30, 100_000).chain(stream::iter([Err(io::ErrorKind::BrokenPipe.into())]));
        assert!(matches!(files.receive(broken, 1 << 30).await, Err(ReceiveError::Sender(_))));
        assert_eq!(list(), 2, "nothing is left of what did not arrive or was not kept");
        assert_eq!(files.renew("none.bin").await.unwrap(), None);
        assert!(files.head("none.bin").await.unwrap().is_none());
    }
}
