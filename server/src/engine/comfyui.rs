//! A ComfyUI, or a simulator that speaks like one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use comfyport_comfyui::{Client, ClientError, Event, FileRef, Outcome, Run, SubmitError};
use comfyport_endpoint::MediaKind;
use comfyport_workflow::json::Value;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use uuid::Uuid;

use super::{Capabilities, Download, Engine, EngineError, Health, InputFile, Prompt, Queue, Watch};

/// The folder, below an engine's own, that everything of ours is in.
const FOLDER: &str = "comfyport";

/// One ComfyUI.
#[derive(Debug)]
pub struct ComfyUi {
    name: String,
    simulated: bool,
    client: Client,
}

impl ComfyUi {
    /// Nothing is sent before the first question.
    pub fn new(name: impl Into<String>, client: Client, simulated: bool) -> Self {
        Self { name: name.into(), simulated, client }
    }
}

impl Engine for ComfyUi {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_simulated(&self) -> bool {
        self.simulated
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, EngineError>> {
        async {
            let info = self.client.object_info().await.map_err(engine_error)?;
            let nodes = info
                .as_object()
                .ok_or_else(|| EngineError::Protocol("its nodes are no object".to_owned()))?;
            let is_output = |node: &Value| node.get("output_node").and_then(Value::as_bool).unwrap_or(false);
            let outputs = nodes.iter().filter(|(_, node)| is_output(node)).map(|(class, _)| class.clone());
            let module = |node: &Value| node.get("python_module").and_then(Value::as_str).map(str::to_owned);
            let modules = nodes.iter().filter_map(|(class, node)| {
                let module = module(node).filter(|module| module.starts_with("custom_nodes."))?;
                Some((class.clone(), module))
            });
            Ok(Capabilities {
                modules: Arc::new(modules.collect()),
                output_classes: Arc::new(outputs.collect()),
                classes: Arc::new(nodes.keys().cloned().collect()),
                required: Arc::new(
                    nodes.iter().map(|(class, node)| (class.clone(), required_inputs(node))).collect(),
                ),
                uploads: Arc::new(
                    nodes
                        .iter()
                        .map(|(class, node)| (class.clone(), upload_inputs(class, node)))
                        .filter(|(_, inputs)| !inputs.is_empty())
                        .collect(),
                ),
            })
        }
        .boxed()
    }

    fn models<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Option<BTreeSet<String>>, EngineError>> {
        async move {
            let files = self.client.models(folder).await.map_err(engine_error)?;
            Ok(files.map(|files| files.into_iter().collect()))
        }
        .boxed()
    }

    fn folders(&self) -> BoxFuture<'_, Result<BTreeSet<String>, EngineError>> {
        async { Ok(self.client.model_folders().await.map_err(engine_error)?.into_iter().collect()) }.boxed()
    }

    fn health(&self) -> BoxFuture<'_, Result<Health, EngineError>> {
        async {
            let stats = self.client.system_stats().await.map_err(engine_error)?;
            Ok(read_health(&stats))
        }
        .boxed()
    }

    fn upload<'a>(&'a self, file: InputFile<'a>) -> BoxFuture<'a, Result<String, EngineError>> {
        self.client
            .upload(file.name, FOLDER, file.content_type, file.size, file.data)
            .map(|answer| answer.map_err(engine_error))
            .boxed()
    }

    fn submit<'a>(&'a self, prompt: Prompt<'a>) -> BoxFuture<'a, Result<Box<dyn Watch>, SubmitError>> {
        async move {
            let run = self.client.submit(prompt.id, prompt.graph, prompt.socket_nodes).await?;
            Ok(Box::new(Watched(run)) as Box<dyn Watch>)
        }
        .boxed()
    }

    fn adopt<'a>(
        &'a self,
        prompt_id: Uuid,
        socket_nodes: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, EngineError>> {
        async move {
            let run = self.client.adopt(prompt_id, socket_nodes).await.map_err(engine_error)?;
            Ok(run.map(|run| Box::new(Watched(run)) as Box<dyn Watch>))
        }
        .boxed()
    }

    fn queue(&self) -> BoxFuture<'_, Result<Queue, EngineError>> {
        async { self.client.queue().await.map_err(engine_error) }.boxed()
    }

    fn free(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        async { self.client.free().await.map_err(engine_error) }.boxed()
    }

    fn cancel(&self, prompt_id: Uuid) -> BoxFuture<'_, Result<(), EngineError>> {
        async move { self.client.cancel(prompt_id).await.map(drop).map_err(engine_error) }.boxed()
    }

    fn forget(&self, prompt_id: Uuid) -> BoxFuture<'_, Result<(), EngineError>> {
        async move { self.client.forget(prompt_id).await.map_err(engine_error) }.boxed()
    }

    fn fetch<'a>(&'a self, file: &'a FileRef) -> BoxFuture<'a, Result<Download, EngineError>> {
        async move {
            let download = self.client.view(file).await.map_err(engine_error)?;
            Ok(Download {
                content_type: download.content_type.clone(),
                length: download.content_length,
                data: download.into_stream().map(|chunk| chunk.map_err(engine_error)).boxed(),
            })
        }
        .boxed()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn engine_error(error: ClientError) -> EngineError {
    match error {
        ClientError::Connect(_) | ClientError::Timeout | ClientError::Transport(_) => {
            EngineError::Unreachable(error.to_string())
        }
        ClientError::Status { status: 404, .. } => EngineError::NotFound,
        ClientError::Status { status: 413, .. } => EngineError::TooLarge,
        ClientError::Status { .. }
        | ClientError::InvalidConfig(_)
        | ClientError::TooLarge { .. }
        | ClientError::NotJson(_)
        | ClientError::Shape(_)
        | ClientError::Truncated { .. }
        | ClientError::InvalidName => EngineError::Protocol(error.to_string()),
    }
}

/// The inputs that a prompt has to give a node, with their types. ComfyUI fills in nothing, whatever the default.
fn required_inputs(node: &Value) -> BTreeMap<String, String> {
    let required = node.get("input").and_then(|input| input.get("required")?.as_object());
    let kind = |input: &Value| match input.as_array().and_then(<[Value]>::first) {
        Some(Value::Array(_)) => "COMBO".to_owned(),
        Some(kind) => kind.as_str().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    // Their parts are given under names of their own, and there may be none.
    let has_parts = |kind: &str| kind.starts_with("COMFY_AUTOGROW") || kind.starts_with("COMFY_DYNAMIC");
    let inputs = required.into_iter().flat_map(|inputs| inputs.iter());
    inputs.map(|(name, input)| (name.clone(), kind(input))).filter(|(_, kind)| !has_parts(kind)).collect()
}

/// The inputs of a node that the editor uploads files to, and what the files hold.
fn upload_inputs(class: &str, node: &Value) -> BTreeMap<String, MediaKind> {
    let groups = ["required", "optional"].map(|group| node.get("input")?.get(group)?.as_object());
    let inputs = groups.into_iter().flatten().flat_map(|inputs| inputs.iter());
    let kind = |name: &str, input: &Value| {
        let settings = input.as_array().and_then(|spec| spec.get(1));
        let flag = |flag: &str| settings.and_then(|settings| settings.get(flag)?.as_bool()) == Some(true);
        let is_mask = || class.to_lowercase().contains("mask");
        Some(match (class, name) {
            _ if flag("image_upload") => {
                if is_mask() {
                    MediaKind::Mask
                } else {
                    MediaKind::Image
                }
            }
            _ if flag("video_upload") => MediaKind::Video,
            _ if flag("audio_upload") => MediaKind::Audio,
            _ if flag("file_upload") => MediaKind::File,
            // VideoHelperSuite adds the button by itself and does not say so.
            ("VHS_LoadVideo" | "VHS_LoadVideoFFmpeg", "video") => MediaKind::Video,
            ("VHS_LoadAudioUpload", "audio") => MediaKind::Audio,
            _ => return None,
        })
    };
    inputs.filter_map(|(name, input)| Some((name.clone(), kind(name, input)?))).collect()
}

/// What an engine says about itself, where it says it.
fn read_health(stats: &Value) -> Health {
    let device = stats.get("devices").and_then(Value::as_array).and_then(<[Value]>::first);
    let memory = |name: &str| device?.get(name)?.as_u64();
    let system = |name: &str| stats.get("system")?.get(name)?.as_u64();
    let version =
        stats.get("system").and_then(|system| system.get("comfyui_version")).and_then(Value::as_str);
    Health {
        version: version.map(str::to_owned),
        vram_total: memory("vram_total"),
        vram_free: memory("vram_free"),
        ram_total: system("ram_total"),
        ram_free: system("ram_free"),
    }
}

struct Watched(Run);

impl Watch for Watched {
    fn next_event(&mut self) -> BoxFuture<'_, Option<Event>> {
        self.0.next_event().boxed()
    }

    fn outcome(self: Box<Self>) -> BoxFuture<'static, Outcome> {
        self.0.outcome().boxed()
    }
}
