//! The result of understanding a workflow: one workflow as an API.

use serde::{Serialize, Serializer};

use crate::{
    diagnostic::Diagnostic,
    graph::{Graph, NodeId},
    json::{Number, Value},
    lock::Change,
    loras::{LoraList, LoraShape},
    route::Version,
    rules::Rule,
    sidecar::Deprecation,
};

/// One workflow as an API. Serialises to the shape that `comfyport check --format json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Endpoint {
    /// The file it came from, as given.
    pub file: String,
    /// The route without its leading slash: `sd15/txt2img`, or `v2/portrait` where there are versions.
    pub path: String,
    /// Which of several versions it is. Files beside this one decide, so whoever knows them says it.
    #[serde(flatten)]
    pub version: Option<Version>,
    /// Whether and since when callers should move on to something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Deprecation>,
    /// A name for people.
    pub title: String,
    /// What it does, if the author said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Parameters in the order callers see them: primary, advanced, model, hidden.
    pub params: Vec<Param>,
    /// Named results.
    pub outputs: Vec<Output>,
    /// Model files it needs.
    pub models: Vec<ModelRef>,
    /// Node packs it needs besides ComfyUI itself.
    pub node_packs: Vec<NodePack>,
    /// Classes that no known pack has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_classes: Vec<String>,
    /// Node classes it needs, sorted.
    pub classes: Vec<String>,
    /// What was found on the way.
    pub diagnostics: Vec<Diagnostic>,
    /// The nodes that outputs need; dead ones are gone.
    #[serde(skip)]
    pub graph: Graph,
    /// The `filename_prefix` inputs of output nodes, which a server rewrites for each run.
    #[serde(skip)]
    pub prefix_inputs: Vec<Binding>,
    /// What becomes of fields that no node has.
    #[serde(skip)]
    pub rules: Vec<Rule>,
    /// Fields of the request that take nodes out of the graph: files where they are left out, switches where they are
    /// off.
    #[serde(skip)]
    pub switches: Vec<String>,
    /// The graph for each state of the switches: bit `n` of the position is set where switch `n` takes its nodes out.
    /// Empty where there are no switches.
    #[serde(skip)]
    pub variants: Vec<Graph>,
    /// What lists of LoRAs take the place of.
    #[serde(skip)]
    pub lora_lists: Vec<LoraList>,
    /// How its API differs from the locked one.
    #[serde(skip)]
    pub changes: Vec<Change>,
    /// Which value each `[params.…]` entry of the sidecar file decided about.
    #[serde(skip)]
    pub(crate) sidecar_keys: Vec<(String, Binding)>,
    /// Which node's result each `[outputs.…]` entry of the sidecar file decided about.
    #[serde(skip)]
    pub(crate) sidecar_outputs: Vec<(String, NodeId)>,
}

impl Endpoint {
    /// Whether nothing stops it from being served.
    pub fn is_usable(&self) -> bool {
        !self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// Parameters of one tier.
    pub fn tier(&self, tier: Tier) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(move |param| param.tier == tier)
    }

    /// Where the fields of [`Endpoint::switches`] stand among the primary ones.
    pub fn placed_switches(&self) -> Vec<u16> {
        self.switches.iter().filter_map(|name| self.field(name)).collect()
    }

    /// In which states of the switches a node takes part: bit `s` is set where it does in `variants[s]`.
    pub fn states_of(&self, node: &str) -> u32 {
        let there = |(_, graph): &(u32, &Graph)| graph.node(node).is_some();
        let states =
            (0..).zip(&self.variants).filter(there).fold(0, |states, (state, _)| states | 1 << state);
        let always =
            u32::MAX.checked_shr(32_u32.saturating_sub(self.variants.len().try_into().unwrap_or(32)));
        if states == always.unwrap_or(0) { u32::MAX } else { states }
    }

    /// The entry of the sidecar file that decided about a parameter.
    pub fn sidecar_entry(&self, param: &Param) -> Option<&str> {
        let found = self.sidecar_keys.iter().find(|(_, binding)| param.sets().contains(binding));
        found.map(|(key, _)| key.as_str())
    }

    /// Model files that an engine can be asked for: not those that a node fetches by itself, or that nobody can say
    /// where to look up.
    pub fn checked_models(&self) -> impl Iterator<Item = &ModelRef> {
        self.models.iter().filter(|model| !model.auto_download && model.folder != "unknown")
    }
}

/// Where callers meet a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// A field of the request.
    Primary,
    /// A field of the request's `advanced` object.
    Advanced,
    /// A model file: not a field unless exposed.
    Model,
    /// Not a field.
    Hidden,
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// One of a list of options.
    Enum,
    /// A whole number from 0 to 2^64-1, drawn at random where left out.
    Seed,
    /// A picture.
    Image,
    /// A picture whose channel is used as a mask.
    Mask,
    /// A film.
    Video,
    /// A sound.
    Audio,
    /// A 3D model.
    Model3d,
    /// Some other file.
    File,
    /// A list of LoRAs, each with a strength.
    Loras,
}

impl ParamType {
    /// Whether values are files.
    pub fn is_media(self) -> bool {
        matches!(self, Self::Image | Self::Mask | Self::Video | Self::Audio | Self::Model3d | Self::File)
    }

    /// The name in reports and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Enum => "enum",
            Self::Seed => "seed",
            Self::Image => "image",
            Self::Mask => "mask",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Model3d => "model3d",
            Self::File => "file",
            Self::Loras => "loras",
        }
    }
}

/// A public field, bound to one or more node inputs.
#[derive(Debug, Clone, Serialize)]
pub struct Param {
    /// The name callers use.
    pub name: String,
    /// Where callers meet it.
    pub tier: Tier,
    /// What values it takes.
    #[serde(rename = "type")]
    pub ty: ParamType,
    /// What it means, where that was found: `prompt`, `seed`, `steps`…
    pub role: Option<String>,
    /// Whether callers must give it.
    pub required: bool,
    /// What it is when left out.
    pub default: Option<Value>,
    /// The least value.
    pub min: Option<Number>,
    /// The greatest value.
    pub max: Option<Number>,
    /// The distance between sensible values; not enforced.
    pub step: Option<Number>,
    /// The values to choose from.
    pub options: Vec<Value>,
    /// Whether `options` are examples and other values are accepted.
    pub open: bool,
    /// Whether text may have lines.
    pub multiline: bool,
    /// How a file reaches the node: `upload_name`, `base64`, `data_url`, `url` or `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// For a model, the folder it is looked up in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// One sentence for callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The unit of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// A name for the list of options that workflows share: `SamplerName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enum_name: Option<String>,
    /// The node inputs it sets.
    pub bindings: Vec<Binding>,
    /// What decided that this is a parameter, and which.
    pub signal: String,
    /// For a field that no node has, what it is; its bindings are what it is turned into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<Derived>,
    /// For a list of LoRAs, what it looks like.
    #[serde(skip)]
    pub loras: Option<LoraShape>,
    /// Whether model files that callers tell by their address are fetched from there.
    #[serde(skip)]
    pub from_url: bool,
    /// Whether the author declared it in the graph.
    #[serde(skip)]
    pub(crate) settled: bool,
    /// What the author says about whether callers must give it.
    #[serde(skip)]
    pub(crate) insisted: Option<bool>,
}

impl Param {
    /// The node inputs that are set to the value itself.
    pub fn sets(&self) -> &[Binding] {
        if self.derived.is_some() { &[] } else { &self.bindings }
    }

    /// The node inputs whose faults are faults of this field.
    pub fn answers_for(&self) -> &[Binding] {
        if self.derived == Some(Derived::Loras) { &self.bindings } else { self.sets() }
    }
}

/// What a field that no node has is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Derived {
    /// Seconds into frames.
    Duration,
    /// A ratio into width and height.
    AspectRatio,
    /// An area into width and height.
    Megapixels,
    /// A number of results into the size of a batch.
    Count,
    /// Whether nodes take part.
    Switch,
    /// A list into a chain of loaders.
    Loras,
}

impl Derived {
    /// The name in JSON and in lock files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::AspectRatio => "aspect_ratio",
            Self::Megapixels => "megapixels",
            Self::Count => "count",
            Self::Switch => "switch",
            Self::Loras => "loras",
        }
    }
}

/// One input of one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Binding {
    /// The node's id.
    pub node: NodeId,
    /// The input's name.
    pub input: String,
    /// The node's class.
    pub class_type: String,
}

/// A named result.
#[derive(Debug, Clone, Serialize)]
pub struct Output {
    /// The name callers use.
    pub name: String,
    /// The node that yields it.
    pub node: NodeId,
    /// The node's class.
    pub class_type: String,
    /// What it is.
    pub kind: OutputKind,
    /// Whether the node keeps its result, previews it, or sends it over the socket.
    pub stage: Stage,
    /// Whether there may be several.
    pub many: bool,
}

/// What a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputKind {
    /// A picture.
    Image,
    /// A picture that moves.
    ImageAnimated,
    /// A film.
    Video,
    /// A sound.
    Audio,
    /// A 3D model.
    Mesh,
    /// Text.
    Text,
    /// A latent.
    Latent,
    /// Some other file.
    File,
}

impl OutputKind {
    /// The name in reports, in JSON, and the usual name of such an output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image | Self::ImageAnimated => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Mesh => "mesh",
            Self::Text => "text",
            Self::Latent => "latent",
            Self::File => "file",
        }
    }
}

impl Serialize for OutputKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How a node hands over its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is kept.
    Final,
    /// It is a preview, and lives until the engine restarts.
    Preview,
    /// It is sent over the socket and never stored.
    Websocket,
}

/// A model file that a workflow needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelRef {
    /// The file, with `/` between folders.
    pub file: String,
    /// The models folder it is looked up in, `unknown` if that was not found out.
    pub folder: String,
    /// The node that loads it.
    pub node: NodeId,
    /// The input that names it.
    pub input: String,
    /// Where it can be fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What its content must hash to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether the node fetches it by itself.
    pub auto_download: bool,
    /// Whether the author said that their use is covered by its licence.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub licence_accepted: bool,
}

/// A node pack that a workflow needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodePack {
    /// Its name.
    pub id: String,
    /// Where it comes from.
    pub repository: Option<String>,
    /// The version or commit that the workflow was saved with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The classes it is needed for.
    pub classes: Vec<String>,
    /// Those of the classes that other packs have, too: for them this one is a guess.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubtful: Vec<String>,
    /// Repositories of these others, likely ones first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// How it was found.
    pub evidence: String,
}
