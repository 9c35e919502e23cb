//! From what nodes yielded to what an endpoint's outputs are.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use comfyport_buckets::BucketError;
use comfyport_comfyui::{FileRef, NodeOutput, OutputItem};
use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::{
    finish::Finish,
    result::{FileItem, Item, Named, THUMBNAIL},
};
use crate::{
    artifacts::{Artifact, Files, Source, StoreError},
    engine::{Engine, EngineError},
    media::Workshop,
    shelves::{Shelf, ShelfError},
};

/// An output that is waited for.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// The name callers use.
    pub(super) name: String,
    /// The node that yields it.
    pub(super) node: String,
    /// Whether a run without it has failed.
    pub(super) required: bool,
}

/// An output that did not come.
#[derive(Debug)]
pub(super) struct Absent {
    pub(super) output: String,
    pub(super) why: String,
    pub(super) cause: Cause,
}

/// Whose doing it is that an output did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The engine has none, or a damaged one.
    Output,
    /// The engine cannot be reached any more.
    Away,
    /// Our disk failed.
    Disk,
}

/// How many files of one run travel at once.
const TOGETHER: usize = 4;

/// A file that is not there yet may be there now.
const SECOND_LOOK: Duration = Duration::from_millis(250);

pub(super) struct Collector<'a> {
    pub(super) engine: &'a dyn Engine,
    pub(super) files: &'a Files,
    pub(super) workshop: &'a Workshop,
    pub(super) finish: &'a Finish,
    pub(super) shelf: Option<&'a Shelf<'a>>,
    pub(super) job: Uuid,
}

impl Collector<'_> {
    /// Fetches every expected output, all at the same time.
    pub(super) async fn collect(
        &self,
        expected: Vec<Expected>,
        mut yielded: BTreeMap<String, NodeOutput>,
    ) -> Result<Vec<Named>, Absent> {
        let mut wanted = Vec::new();
        let mut names = Vec::new();
        for output in expected {
            let items = yielded.remove(&output.node).map(|output| output.items).unwrap_or_default();
            if items.is_empty() && output.required {
                let why = "the node yielded nothing".to_owned();
                return Err(Absent { output: output.name, why, cause: Cause::Output });
            }
            let position = names.len();
            // Only files are counted: the number is part of their address.
            let mut files = 0;
            for item in items {
                let at = files;
                files += usize::from(matches!(item, OutputItem::File(_) | OutputItem::Bytes { .. }));
                wanted.push((position, output.name.clone(), at, item));
            }
            names.push(output.name);
        }
        let fetched: Vec<(usize, Item)> = stream::iter(wanted)
            .map(|(position, name, at, item)| async move {
                Ok::<_, Absent>((position, self.item(&name, at, item).await?))
            })
            .buffered(TOGETHER)
            .try_collect()
            .await?;
        let mut outputs: Vec<Named> =
            names.into_iter().map(|name| Named { name, items: Vec::new() }).collect();
        for (position, item) in fetched {
            if let Some(output) = outputs.get_mut(position) {
                output.items.push(item);
            }
        }
        Ok(outputs)
    }

    async fn item(&self, output: &str, at: usize, item: OutputItem) -> Result<Item, Absent> {
        let stored = match item {
            OutputItem::Text(text) => return Ok(Item::Text(text)),
            OutputItem::Json(value) => return Ok(Item::Json(value)),
            OutputItem::File(file) => match self.file(output, at, &file).await {
                Err(failure) if failure.may_pass() => {
                    tokio::time::sleep(SECOND_LOOK).await;
                    self.file(output, at, &file).await
                }
                other => other,
            },
            OutputItem::Bytes { content_type, data } => self.bytes(output, at, content_type, data).await,
        };
        let absent = |failure: Failure| Absent {
            output: output.to_owned(),
            why: failure.to_string(),
            cause: failure.cause(),
        };
        let artifact = stored.map_err(absent)?;
        let finished = self.finish.apply(artifact, &stem(output, at), self.files, self.workshop).await;
        let finished = finished.map_err(|error| absent(Failure::Store(error)))?;
        let mut item = self.publish(output, at, finished.artifact).await?;
        item.left_as_is = finished.left_as_is;
        if let Some(small) = finished.thumbnail {
            item.thumbnail = Some(Box::new(self.publish(&format!("{output}{THUMBNAIL}"), at, small).await?));
        }
        Ok(Item::File(item))
    }

    async fn publish(&self, output: &str, at: usize, artifact: Arc<Artifact>) -> Result<FileItem, Absent> {
        self.files.publish(&artifact).await.map_err(|why| storage(output, &why))?;
        let url = format!("/jobs/{}/outputs/{output}/{at}", self.job);
        let position = u32::try_from(at).unwrap_or(u32::MAX);
        let stored = match self.shelf {
            Some(shelf) => Some(shelf.put(&artifact).await.map_err(|why| unshelved(output, &why))?),
            None => None,
        };
        Ok(FileItem { url, artifact, position, thumbnail: None, left_as_is: None, stored })
    }

    async fn file(&self, output: &str, at: usize, file: &FileRef) -> Result<Arc<Artifact>, Failure> {
        let download = self.engine.fetch(file).await.map_err(Failure::Engine)?;
        let source = Source {
            content_type: download.content_type,
            length: download.length,
            filename: file.filename.clone(),
            stem: stem(output, at),
            embedded: self.finish.embedded,
        };
        self.files.store(source, download.data).await.map_err(Failure::Store)
    }

    /// Bytes that came over the socket are already here.
    async fn bytes(
        &self,
        output: &str,
        at: usize,
        content_type: String,
        data: bytes::Bytes,
    ) -> Result<Arc<Artifact>, Failure> {
        let ending = content_type.rsplit('/').next().unwrap_or("bin").to_owned();
        let source = Source {
            length: None,
            filename: format!("socket.{ending}"),
            content_type: Some(content_type),
            stem: stem(output, at),
            embedded: self.finish.embedded,
        };
        let data = stream::iter([Ok::<_, EngineError>(data)]);
        self.files.store(source, data).await.map_err(Failure::Store)
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Engine(EngineError),
    #[error("{0}")]
    Store(StoreError<EngineError>),
}

impl Failure {
    fn cause(&self) -> Cause {
        match self {
            Self::Store(StoreError::Io(_)) => Cause::Disk,
            Self::Engine(EngineError::Unreachable(_))
            | Self::Store(StoreError::Engine(EngineError::Unreachable(_))) => Cause::Away,
            Self::Engine(_) | Self::Store(_) => Cause::Output,
        }
    }

    /// Whether looking again may help.
    fn may_pass(&self) -> bool {
        match self {
            Self::Engine(_) | Self::Store(StoreError::Engine(_) | StoreError::Defect(_)) => true,
            Self::Store(StoreError::TooLarge { .. } | StoreError::Io(_)) => false,
        }
    }
}

/// `image` for the first, `image_2` for the second: names for people who save them.
fn stem(output: &str, at: usize) -> String {
    let plain: String =
        output.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '_' }).collect();
    if at == 0 { plain } else { format!("{plain}_{}", at + 1) }
}

fn storage(output: &str, error: &std::io::Error) -> Absent {
    Absent { output: output.to_owned(), why: error.to_string(), cause: Cause::Disk }
}

/// A bucket that is away is asked again; one that does not let us in stays closed, and an address was asked often enough.
fn unshelved(output: &str, error: &ShelfError) -> Absent {
    let cause = match error {
        ShelfError::File(_) | ShelfError::Bucket(BucketError::Failed(_) | BucketError::File(_)) => {
            Cause::Disk
        }
        ShelfError::Bucket(
            BucketError::Settings(_) | BucketError::Missing | BucketError::Denied | BucketError::Name(_),
        )
        | ShelfError::Address(_)
        | ShelfError::Off => Cause::Output,
    };
    Absent { output: output.to_owned(), why: error.to_string(), cause }
}
