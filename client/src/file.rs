//! Files to send.

use std::{io, path::Path};

use comfyport_endpoint::Media;

/// The file at a path, read whole and called what it is called there.
pub async fn media_from_path(path: impl AsRef<Path>) -> io::Result<Media> {
    let path = path.as_ref();
    let data = tokio::fs::read(path).await?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(Media::from_bytes(data, name, None))
}
