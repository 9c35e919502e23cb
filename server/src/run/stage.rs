//! Input files on their way to an engine: uploaded once, remembered by what they contain.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::request::{File, Prepared};
use crate::{
    engine::{Engine, EngineError, InputFile},
    pool::Uploaded,
};

/// How many files of one request travel at once.
const TOGETHER: usize = 4;

/// Makes the files of a request available to an engine and writes into the request what it calls them. Whether any of
/// them was believed to be there already.
pub(super) async fn stage(
    engine: &dyn Engine,
    uploaded: &Uploaded,
    prepared: &mut Prepared,
) -> Result<bool, EngineError> {
    let files: Vec<File> = prepared.files.iter().filter(|file| file.is_uploaded).cloned().collect();
    if files.is_empty() {
        return Ok(false);
    }
    let placed: Vec<(usize, Arc<str>, bool)> = stream::iter(files)
        .map(|file| place(engine, uploaded, file))
        .buffer_unordered(TOGETHER)
        .try_collect()
        .await?;
    let mut media = prepared.decoded.media_mut();
    let mut remembered = false;
    for (position, value, known) in placed {
        remembered |= known;
        if let Some((_, media)) = media.get_mut(position) {
            media.engine_value = Some(value.to_string());
        }
    }
    Ok(remembered)
}

async fn place(
    engine: &dyn Engine,
    uploaded: &Uploaded,
    file: File,
) -> Result<(usize, Arc<str>, bool), EngineError> {
    if let Some(value) = uploaded.get(&file.name) {
        return Ok((file.position, value, true));
    }
    let input = InputFile { name: &file.name, content_type: file.format.content_type(), data: file.data };
    let value: Arc<str> = engine.upload(input).await?.into();
    uploaded.insert(Arc::clone(&file.name), Arc::clone(&value));
    Ok((file.position, value, false))
}
