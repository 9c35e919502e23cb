use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::Method;
use tokio::time::timeout;

use crate::{Client, ClientError, FileRef, http::success};

/// A file on its way.
pub struct Download {
    /// The media type ComfyUI guessed from the name.
    pub content_type: Option<String>,
    /// Its size in bytes, if announced.
    pub content_length: Option<u64>,
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, ClientError>> + Send>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("content_type", &self.content_type)
            .field("content_length", &self.content_length)
            .finish_non_exhaustive()
    }
}

impl Download {
    /// The bytes, in pieces. The last item is an error if the file is shorter than announced or too large.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, ClientError>> + Send + Unpin + 'static {
        self.stream
    }

    /// All of it, if it is not larger than `limit` bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, ClientError> {
        let mut all = bytes::BytesMut::new();
        while let Some(chunk) = self.stream.next().await {
            let chunk = chunk?;
            if all.len() + chunk.len() > limit {
                return Err(ClientError::TooLarge { limit: limit as u64 });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

impl Client {
    /// Fetches a file. A missing one is [`ClientError::Status`] with 404.
    pub async fn view(&self, file: &FileRef) -> Result<Download, ClientError> {
        let mut url = self.http().url(&["view"]);
        url.query_pairs_mut()
            .append_pair("filename", &file.filename)
            .append_pair("subfolder", &file.subfolder)
            .append_pair("type", &file.type_);
        let sent = timeout(self.config().request_timeout, self.http().open(Method::GET, url).send()).await;
        let response = success(sent.map_err(|_| ClientError::Timeout)??)?;
        let limit = self.config().max_download;
        let content_length = response.content_length();
        if content_length.is_some_and(|length| length > limit) {
            return Err(ClientError::TooLarge { limit });
        }
        let content_type = response.headers().get("content-type");
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let stream = checked(response.bytes_stream().boxed(), content_length, limit).boxed();
        Ok(Download { content_type, content_length, stream })
    }
}

type Source = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// Passes pieces on while they add up, and ends with the error if they do not.
fn checked(
    source: Source,
    expected: Option<u64>,
    limit: u64,
) -> impl Stream<Item = Result<Bytes, ClientError>> + Send {
    stream::unfold((Some(source), 0u64), move |(source, received)| async move {
        let mut source = source?;
        match source.next().await {
            Some(Ok(chunk)) => {
                let received = received + chunk.len() as u64;
                if received > limit {
                    return Some((Err(ClientError::TooLarge { limit }), (None, received)));
                }
                Some((Ok(chunk), (Some(source), received)))
            }
            Some(Err(error)) => {
                let error = match (expected, ClientError::from(error)) {
                    (_, ClientError::Timeout) => ClientError::Timeout,
                    (Some(expected), _) => ClientError::Truncated { expected, received },
                    (None, error) => error,
                };
                Some((Err(error), (None, received)))
            }
            None => {
                let expected = expected.filter(|expected| *expected != received)?;
                Some((Err(ClientError::Truncated { expected, received }), (None, received)))
            }
        }
    })
}
