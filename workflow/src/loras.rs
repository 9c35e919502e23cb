//! Where callers' lists of LoRAs go: into a chain of loaders, or into the inputs of one node that holds several.

use crate::{
    graph::{Link, NodeId},
    json::Value,
};

mod stacks;

/// How many LoRAs a request may list; fewer where the node has fewer places.
pub const MOST_LORAS: usize = 16;

/// A list of LoRAs, and what it takes the place of.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraList {
    /// The field of the request.
    pub field: String,
    /// Where it goes.
    pub place: LoraPlace,
}

/// Where a list of LoRAs goes.
#[derive(Debug, Clone, PartialEq)]
pub enum LoraPlace {
    /// Loaders, one after the other.
    Chain(Chain),
    /// The inputs of one node.
    Stack(Stack),
}

/// Loaders of LoRAs, one after the other, of which the list takes the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The ids of the loaders that go, in order. Empty where the workflow has none of its own.
    pub nodes: Vec<NodeId>,
    /// The loader that follows the list, where that takes no loader's place.
    pub before: Option<NodeId>,
    /// The class of the loaders that are written.
    pub class_type: String,
    /// Whether they change the text encoder too.
    pub clip: bool,
    /// The id of the last loader that is written.
    pub last: NodeId,
    /// What becomes of links to the loaders that go, where it is not what the last one yields under its own id.
    pub moved: Vec<(Link, Link)>,
}

/// A node that holds several LoRAs in its own inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// Its id.
    pub node: NodeId,
    /// The inputs that the list decides about.
    pub inputs: Vec<StackInput>,
    /// Inputs that say how the others are read: they stay as they are, and are not set together with a list.
    pub fixed: Vec<String>,
    /// How many LoRAs there is room for.
    pub most: usize,
    /// Whether each has a strength of its own for the text encoder.
    pub clip: bool,
    /// The least and the greatest strength that the class takes.
    pub range: (i64, i64),
    /// What the workflow has on.
    pub own: Vec<OwnLora>,
}

/// One input of a stack.
#[derive(Debug, Clone, PartialEq)]
pub struct StackInput {
    /// Its name.
    pub name: String,
    /// The position in the list of the LoRA that it belongs to, if it belongs to one.
    pub item: Option<u16>,
    /// What it is for that LoRA.
    pub listed: Vec<Fragment>,
    /// What it is otherwise; it is left out if this is nothing.
    pub otherwise: Option<Value>,
}

/// A part of an input's value, in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fragment {
    /// The same for every LoRA.
    Text(String),
    /// A property of the LoRA.
    Part(LoraPart),
}

/// A property of a listed LoRA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoraPart {
    /// The file.
    Name,
    /// The strength for the diffusion model.
    Strength,
    /// The strength for the text encoder.
    StrengthClip,
}

/// A LoRA of the workflow itself.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnLora {
    /// The file, as the workflow has it.
    pub name: String,
    /// The strength for the diffusion model.
    pub strength: Value,
    /// The strength for the text encoder, where it has one of its own.
    pub strength_clip: Option<Value>,
}

/// What lists of one field look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoraShape {
    /// How many LoRAs there may be.
    pub most: usize,
    /// Whether each has a strength of its own for the text encoder.
    pub clip: bool,
}

impl Default for LoraShape {
    fn default() -> Self {
        Self { most: MOST_LORAS, clip: false }
    }
}

impl LoraPlace {
    /// What lists look like.
    pub fn shape(&self) -> LoraShape {
        match self {
            Self::Chain(chain) => LoraShape { most: MOST_LORAS, clip: chain.clip },
            Self::Stack(stack) => LoraShape { most: stack.most, clip: stack.clip },
        }
    }
}

/// Words in the names of LoRAs that make a model need few steps.
const ACCELERATORS: &[&str] = &[
    "lcm",
    "lightning",
    "turbo",
    "hyper",
    "distill",
    "lightx2v",
    "causvid",
    "accvid",
    "dmd",
    "fastwan",
    "phantom",
    "4step",
    "4_step",
    "4-step",
    "8step",
    "8_step",
    "8-step",
];

/// Whether steps and guidance of a workflow are made for this file, so that callers must not lose it.
pub(crate) fn is_accelerator(file: &str) -> bool {
    let file = file.to_lowercase();
    ACCELERATORS.iter().any(|word| file.contains(word))
}
