//! The static description of an endpoint.

use crate::{Field, Request, Template};

/// One workflow as an API. Generated code holds one static value for each.
#[derive(Debug)]
pub struct Endpoint {
    /// The route without its leading slash: `sd15/txt2img`.
    pub path: &'static str,
    /// A name for people.
    pub title: &'static str,
    /// What it does; may be empty.
    pub description: &'static str,
    /// Fields of the request, in the order of the struct.
    pub fields: &'static [Field],
    /// Fields of the request's `advanced` object.
    pub advanced: &'static [Field],
    /// Named results.
    pub outputs: &'static [Output],
    /// Model files it needs.
    pub models: &'static [Model],
    /// Node packs it needs besides ComfyUI itself.
    pub node_packs: &'static [NodePack],
    /// Node classes it needs, sorted.
    pub classes: &'static [&'static str],
    /// Its nodes, for progress and for errors.
    pub nodes: &'static [NodeLabel],
    /// The prompt, with holes for values.
    pub template: Template,
    /// Its part of the OpenAPI document: a JSON object with `paths` and `components.schemas`.
    pub openapi: &'static str,
    /// An empty request.
    pub new_request: fn() -> Box<dyn Request>,
}

/// A named result.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// The name callers use.
    pub name: &'static str,
    /// The node that yields it.
    pub node: &'static str,
    /// The node's class.
    pub class_type: &'static str,
    /// What it is.
    pub kind: OutputKind,
    /// Whether there may be several.
    pub many: bool,
    /// Whether it is a preview, which engines do not keep.
    pub preview: bool,
}

/// What a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// A picture, still or moving.
    Image,
    /// A film.
    Video,
    /// A sound.
    Audio,
    /// A 3D model.
    Model3d,
    /// Text.
    Text,
    /// A latent.
    Latent,
    /// Some other file.
    File,
}

/// A model file that a workflow needs.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// The file, with `/` between folders.
    pub file: &'static str,
    /// The folder below ComfyUI's `models`.
    pub folder: &'static str,
    /// The node that loads it.
    pub node: &'static str,
    /// The input that names it.
    pub input: &'static str,
    /// Where it can be fetched from.
    pub url: Option<&'static str>,
    /// What its content must hash to.
    pub sha256: Option<&'static str>,
}

/// A node pack that a workflow needs.
#[derive(Debug, Clone, Copy)]
pub struct NodePack {
    /// Its name.
    pub id: &'static str,
    /// Where it comes from.
    pub repository: Option<&'static str>,
    /// The classes it is needed for.
    pub classes: &'static [&'static str],
}

/// A node, as people know it.
#[derive(Debug, Clone, Copy)]
pub struct NodeLabel {
    /// Its id in the prompt.
    pub id: &'static str,
    /// Its class.
    pub class_type: &'static str,
    /// Its title in the editor, or its class.
    pub title: &'static str,
}
