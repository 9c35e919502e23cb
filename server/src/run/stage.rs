//! Input files on their way to an engine: uploaded once, remembered by what they contain.

use std::{io, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_endpoint::MediaEncoding;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::request::File;
use crate::{
    artifacts::Files,
    engine::{Engine, EngineError, InputFile},
    media::Format,
    pool::Uploaded,
};

/// How many files of one request travel at once.
const TOGETHER: usize = 4;

/// Why a file is not where a prompt needs it.
#[derive(Debug)]
pub(super) enum StageError {
    /// The engine does not take it.
    Engine(EngineError),
    /// It is no longer among our files.
    Gone,
    /// It cannot be read.
    Io(io::Error),
}

/// What an engine calls the files of a request.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// The position of each file, and what its input is to be set to.
    pub(super) values: Vec<(usize, Arc<str>)>,
    /// Whether any of them was believed to be there already.
    pub(super) believed: bool,
}

/// Makes the files of a request available to an engine.
pub(super) async fn stage(
    engine: &dyn Engine,
    uploaded: &Uploaded,
    files: &Files,
    wanted: Vec<File>,
) -> Result<Staged, StageError> {
    let placed: Vec<(usize, Arc<str>, bool)> = stream::iter(wanted)
        .map(|file| async move {
            let (value, known) = match file.encoding {
                MediaEncoding::UploadName => place(engine, uploaded, files, &file).await?,
                _ => (text(files, &file).await?, false),
            };
            Ok::<_, StageError>((file.position, value, known))
        })
        .buffer_unordered(TOGETHER)
        .try_collect()
        .await?;
    let mut staged = Staged::default();
    for (position, value, known) in placed {
        staged.believed |= known;
        staged.values.push((position, value));
    }
    Ok(staged)
}

async fn place(
    engine: &dyn Engine,
    uploaded: &Uploaded,
    files: &Files,
    file: &File,
) -> Result<(Arc<str>, bool), StageError> {
    if let Some(value) = uploaded.get(&file.name) {
        return Ok((value, true));
    }
    let data = files.read(&file.name, 0, file.size).await.map_err(StageError::Io)?;
    let data = data.ok_or(StageError::Gone)?;
    let (name, content_type) = (&*file.name, file.format.content_type());
    let input = InputFile { name, content_type, size: file.size, data };
    let value: Arc<str> = engine.upload(input).await.map_err(StageError::Engine)?.into();
    uploaded.insert(Arc::clone(&file.name), Arc::clone(&value));
    Ok((value, false))
}

/// A file that is part of the prompt.
async fn text(files: &Files, file: &File) -> Result<Arc<str>, StageError> {
    let data = files.get(&file.name).await.map_err(StageError::Io)?.ok_or(StageError::Gone)?;
    Ok(match file.encoding {
        MediaEncoding::DataUrl => data_url(file.format, &data),
        _ => STANDARD.encode(&data),
    }
    .into())
}

/// Nodes that read such an address know pictures by `image/png` and `image/jpeg` only, and look at the content for the
/// rest.
fn data_url(format: Format, data: &[u8]) -> String {
    let content_type = match format.content_type() {
        "image/jpeg" => "image/jpeg",
        picture if picture.starts_with("image/") => "image/png",
        other => other,
    };
    format!("data:{content_type};base64,{}", STANDARD.encode(data))
}
