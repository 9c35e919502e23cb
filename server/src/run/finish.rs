//! Pictures in the form that a caller wants them in.

use std::sync::Arc;

use bytes::Bytes;
use comfyport_pictures::{Conversion, Format, Header, Made, Metadata, Thumbnail};
use futures_util::stream;

use super::Options;
use crate::{
    artifacts::{Artifact, Files, Source, StoreError},
    engine::EngineError,
    media::Workshop,
};

/// What becomes of pictures between the engine and the result.
#[derive(Debug, Clone, Default)]
pub struct Finish {
    convert: Option<Conversion>,
    thumbnail: Option<Thumbnail>,
    /// Whether what the engine wrote into its files stays there.
    pub(super) embedded: Metadata,
}

impl Finish {
    /// What a caller asked for.
    pub fn of(options: &Options) -> Self {
        Self {
            convert: options.convert.clone(),
            thumbnail: options.thumbnail.clone(),
            embedded: options.embedded,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) artifact: Arc<Artifact>,
    pub(super) thumbnail: Option<Arc<Artifact>>,
    pub(super) left_as_is: Option<String>,
}

impl Finish {
    /// Puts a stored output into the form that is wanted. What is no still picture stays as it is.
    pub(super) async fn apply(
        &self,
        artifact: Arc<Artifact>,
        stem: &str,
        files: &Files,
        workshop: &Workshop,
    ) -> Result<Finished, StoreError<EngineError>> {
        let mut finished = Finished { artifact, thumbnail: None, left_as_is: None };
        if self.convert.is_none() && self.thumbnail.is_none() {
            return Ok(finished);
        }
        if !finished.artifact.content_type.starts_with("image/") {
            finished.left_as_is = self.convert.as_ref().map(|_| "it is no picture".to_owned());
            return Ok(finished);
        }
        let data = match read(&finished.artifact, workshop, files).await.map_err(StoreError::Io)? {
            Ok(data) => data,
            Err(why) => {
                finished.left_as_is = Some(why);
                return Ok(finished);
            }
        };
        if let Some(thumbnail) = &self.thumbnail {
            match workshop.thumbnail(data.clone(), thumbnail).await {
                Ok(made) => {
                    finished.thumbnail = Some(store(files, made, &format!("{stem}_thumbnail")).await?);
                }
                Err(fault) => finished.left_as_is = Some(fault.to_string()),
            }
        }
        if let Some(convert) = self.convert.as_ref().filter(|convert| changes(convert, &data)) {
            match workshop.convert(data, convert, self.embedded).await {
                Ok(made) => finished.artifact = store(files, made, stem).await?,
                Err(fault) => finished.left_as_is = Some(fault.to_string()),
            }
        }
        Ok(finished)
    }
}

/// The bytes of a picture that may be worked on, or why it may not.
async fn read(
    artifact: &Artifact,
    workshop: &Workshop,
    files: &Files,
) -> std::io::Result<Result<Bytes, String>> {
    let most = workshop.limits().memory;
    if artifact.size > most {
        return Ok(Err(format!("its file is larger than {most} bytes")));
    }
    let data = files.spooled(artifact).await?;
    Ok(match Header::read(&data, workshop.limits()) {
        Ok(_) => Ok(data),
        Err(fault) => Err(fault.to_string()),
    })
}

/// Whether a conversion leads to another file. Of what cannot be told it is for the workshop to say.
fn changes(conversion: &Conversion, data: &[u8]) -> bool {
    Format::sniff(data).is_none_or(|format| conversion.changes(format))
}

async fn store(files: &Files, made: Made, stem: &str) -> Result<Arc<Artifact>, StoreError<EngineError>> {
    let source = Source {
        content_type: Some(made.codec.content_type().to_owned()),
        length: None,
        filename: format!("{stem}.{}", made.codec.extension()),
        stem: stem.to_owned(),
        // What may be in it was decided when it was made.
        embedded: Metadata::Keep,
    };
    files.store(source, stream::iter([Ok::<_, EngineError>(Bytes::from(made.data))])).await
}
