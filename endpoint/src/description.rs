//! The description of an endpoint.

use std::fmt;

use crate::{Field, List, Request, Rule, Template, Text};

/// One workflow as an API. Generated code holds one static value for each; others are made at run time.
#[derive(Clone)]
pub struct Endpoint {
    /// The route without its leading slash: `sd15/txt2img`, or `v2/portrait` where there are versions.
    pub path: Text,
    /// Its number among versions of one workflow, whose path is this one without the number in front. The newest is
    /// served there too.
    pub version: Option<u32>,
    /// Whether callers should move on to something else.
    pub deprecated: Option<Deprecation>,
    /// A name for people.
    pub title: Text,
    /// What it does; may be empty.
    pub description: Text,
    /// Fields of the request, in the order of the struct.
    pub fields: List<Field>,
    /// Fields of the request's `advanced` object.
    pub advanced: List<Field>,
    /// Named results.
    pub outputs: List<Output>,
    /// Model files it needs.
    pub models: List<Model>,
    /// Node packs it needs besides ComfyUI itself.
    pub node_packs: List<NodePack>,
    /// Its nodes, for progress and for errors.
    pub nodes: List<NodeLabel>,
    /// Fields that take nodes out of the prompt, by position: at most five.
    pub switches: List<u16>,
    /// What becomes of fields that no node has.
    pub rules: List<Rule>,
    /// The prompt, with holes for values.
    pub template: Template,
    /// Its part of the OpenAPI document: a JSON object with `paths` and `components.schemas`.
    pub openapi: Text,
    /// An empty request to this endpoint.
    pub new_request: fn(&Self) -> Box<dyn Request>,
}

/// Everything that can be told of it: two endpoints that show the same take and yield the same.
impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, title, description, fields, advanced, outputs, models, node_packs, .. } = self;
        let mut shown = formatter.debug_struct("Endpoint");
        shown.field("path", path).field("version", &self.version).field("deprecated", &self.deprecated);
        shown.field("title", title).field("description", description);
        shown.field("fields", fields).field("advanced", advanced).field("outputs", outputs);
        shown.field("models", models).field("node_packs", node_packs);
        shown
            .field("nodes", &self.nodes)
            .field("switches", &self.switches)
            .field("rules", &self.rules)
            .field("template", &self.template)
            .field("openapi", &self.openapi);
        shown.finish_non_exhaustive()
    }
}

/// That callers should move on to something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deprecation {
    /// From when on, where that is known.
    pub since: Option<Date>,
    /// When it stops to be served.
    pub sunset: Option<Date>,
    /// An address with more about it: a URL, or a path of this server.
    pub link: Option<Text>,
    /// One sentence for callers.
    pub note: Option<Text>,
}

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Date {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix: u64,
    /// As its author wrote it: `2026-11-01`.
    pub text: Text,
}

/// A named result.
#[derive(Debug, Clone)]
pub struct Output {
    /// The name callers use.
    pub name: Text,
    /// The node that yields it.
    pub node: Text,
    /// The node's class.
    pub class_type: Text,
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
#[derive(Debug, Clone)]
pub struct Model {
    /// The file, with `/` between folders.
    pub file: Text,
    /// The folder below ComfyUI's `models`.
    pub folder: Text,
    /// The node that loads it.
    pub node: Text,
    /// The input that names it.
    pub input: Text,
    /// Where it can be fetched from.
    pub url: Option<Text>,
    /// What its content must hash to.
    pub sha256: Option<Text>,
}

/// A node pack that a workflow needs.
#[derive(Debug, Clone)]
pub struct NodePack {
    /// Its name.
    pub id: Text,
    /// Where it comes from.
    pub repository: Option<Text>,
    /// The classes it is needed for.
    pub classes: List<Text>,
}

/// A node, as people know it.
#[derive(Debug, Clone)]
pub struct NodeLabel {
    /// Its id in the prompt.
    pub id: Text,
    /// Its class.
    pub class_type: Text,
    /// Its title in the editor, or its class.
    pub title: Text,
    /// In which states of the endpoint's `switches` it takes part: a state is a number whose bit `n` is set where switch
    /// `n` is off, and bit `s` of this is set where the node is there in state `s`.
    pub states: u32,
}
