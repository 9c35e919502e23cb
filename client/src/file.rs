//! Files to send.

use std::{io, path::Path};

use comfyport_endpoint::Media;
use serde::Deserialize;

/// A file that the server keeps for a while.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Upload {
    /// What requests refer to it by.
    pub id: String,
    /// What it is, by its content.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its width in pixels, of pictures.
    pub width: Option<u32>,
    /// Its height in pixels, of pictures.
    pub height: Option<u32>,
    /// Until when it may be referred to, such as `2030-01-31T12:00:00.000Z`.
    pub expires_at: String,
}

impl Upload {
    /// It, as a value of a request.
    pub fn media(&self) -> Media {
        Media::from_upload(self.id.clone())
    }
}

/// The file at a path, read whole and called what it is called there.
pub async fn media_from_path(path: impl AsRef<Path>) -> io::Result<Media> {
    let path = path.as_ref();
    let data = tokio::fs::read(path).await?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(Media::from_bytes(data, name, None))
}
