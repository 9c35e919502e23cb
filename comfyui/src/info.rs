use bytes::Bytes;
use comfyport_workflow::json::Value;
use uuid::Uuid;

use crate::{Client, ClientError, http::quote};

impl Client {
    /// `GET /object_info`: the definitions of all node classes. Slow for ComfyUI; not for polling.
    pub async fn object_info(&self) -> Result<Value, ClientError> {
        self.http().get("object_info").await
    }

    /// The same, as it came.
    pub async fn object_info_bytes(&self) -> Result<Bytes, ClientError> {
        self.http().get_bytes(&["object_info"]).await
    }

    /// The names of the files in a model folder such as `checkpoints`. `None` if there is no such folder.
    pub async fn models(&self, folder: &str) -> Result<Option<Vec<String>>, ClientError> {
        match self.http().get_at(&["models", folder]).await {
            Ok(said) => {
                let names = said.as_array().ok_or(ClientError::Shape("models"))?;
                Ok(Some(names.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
            }
            Err(ClientError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `GET /models`: the names of the model folders.
    pub async fn model_folders(&self) -> Result<Vec<String>, ClientError> {
        let said = self.http().get("models").await?;
        let names = said.as_array().ok_or(ClientError::Shape("models"))?;
        Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// `GET /system_stats`: version, memory, devices. It answers even when nothing can run any more.
    pub async fn system_stats(&self) -> Result<Value, ClientError> {
        self.http().get("system_stats").await
    }

    /// `GET /features`. `None` from releases that do not have it.
    pub async fn features(&self) -> Result<Option<Value>, ClientError> {
        match self.http().get("features").await {
            Ok(said) => Ok(Some(said)),
            Err(ClientError::Status { status: 404 | 405, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks ComfyUI to unload models and drop cached results once the running prompt is done.
    pub async fn free(&self) -> Result<(), ClientError> {
        self.http().command("free", r#"{"unload_models":true,"free_memory":true}"#.to_owned()).await
    }

    /// The history entry of a prompt, with everything ComfyUI put in (tracebacks and paths included). `None` while it
    /// waits or runs, and if it is unknown.
    pub async fn history_entry(&self, prompt_id: Uuid) -> Result<Option<Value>, ClientError> {
        self.entry(&prompt_id.to_string()).await
    }

    /// Removes a prompt's history entry. Files stay.
    pub async fn forget(&self, prompt_id: Uuid) -> Result<(), ClientError> {
        self.http().command("history", format!(r#"{{"delete":[{}]}}"#, quote(&prompt_id.to_string()))).await
    }
}
