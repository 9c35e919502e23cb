use std::{io, time::Duration};

use bytes::Bytes;
use comfyport_workflow::json::Value;
use futures_util::Stream;
use reqwest::{
    Body, Method,
    multipart::{Form, Part},
};

use crate::{
    Client, ClientError,
    http::{parse, success},
};

/// Large files have longer: as long as they take at so many bytes a second.
const SLOWEST: u64 = 4 << 20;

impl Client {
    /// Puts a file into ComfyUI's input folder and answers with the value a loader's input takes.
    ///
    /// An existing file of that name is replaced, without any protection against a concurrent writer: the name should
    /// be one of its contents' hash, or of the job. `subfolder` may be empty. `data` yields `length` bytes, and is never
    /// whole in memory.
    pub async fn upload(
        &self,
        filename: &str,
        subfolder: &str,
        content_type: &str,
        length: u64,
        data: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<String, ClientError> {
        if !usable(filename) || !(subfolder.is_empty() || subfolder.split('/').all(usable)) {
            return Err(ClientError::InvalidName);
        }
        let part = Part::stream_with_length(Body::wrap_stream(data), length).file_name(filename.to_owned());
        let part = part.mime_str(content_type).map_err(|_| ClientError::InvalidName)?;
        // ComfyUI does not decode an encoded file name, so it goes as raw UTF-8.
        let form = Form::new()
            .percent_encode_noop()
            .text("type", "input")
            .text("subfolder", subfolder.to_owned())
            .text("overwrite", "true")
            .part("image", part);
        let url = self.http().url(&["upload", "image"]);
        let timeout = self.config().upload_timeout + Duration::from_secs(length / SLOWEST);
        let request = self.http().open(Method::POST, url).timeout(timeout).multipart(form);
        let response = success(request.send().await?)?;
        value(&parse(&self.http().body(response).await?)?)
    }
}

/// Not a path, and nothing a multipart header, a file system or ComfyUI's `[output]` suffix would misread.
fn usable(name: &str) -> bool {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\' | '"');
    !name.is_empty()
        && name.len() <= 200
        && name != "."
        && name != ".."
        && !name.contains(bad)
        && !name.ends_with(']')
}

fn value(said: &Value) -> Result<String, ClientError> {
    let text = |key| said.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    if name.is_empty() {
        return Err(ClientError::Shape("upload"));
    }
    let folder = text("subfolder").replace('\\', "/");
    let base = match text("type") {
        "" | "input" => String::new(),
        other => format!(" [{other}]"),
    };
    Ok(if folder.is_empty() { format!("{name}{base}") } else { format!("{folder}/{name}{base}") })
}

#[cfg(test)]
mod tests {
    use super::usable;

    #[test]
    fn names() {
        assert!(usable("été.png"));
        for bad in ["", "..", "a/b", "a\\b", "a\"b", "a\nb", "x.png [output]"] {
            assert!(!usable(bad), "{bad}");
        }
    }
}
