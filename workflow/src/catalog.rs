//! Node definitions: which inputs a class has, of what type, in what range.
//!
//! The definitions come from a ComfyUI's `GET /object_info`. A snapshot of the core nodes, facts only, ships with this
//! crate; it has the shape of `object_info` itself, so that one reader serves both.

use std::{collections::BTreeMap, sync::OnceLock};

use crate::json::{Number, ParseError, Value};

pub mod display_names;
pub mod model_folders;
mod read;
mod write;

/// The snapshot of ComfyUI 0.3.64's own nodes.
const CORE: &str = include_str!("../data/core_nodes.json");

/// Node definitions by class.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    nodes: BTreeMap<String, NodeDef>,
}

/// What is known of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeDef {
    /// The class.
    pub class_type: String,
    /// The name that the editor shows.
    pub display_name: Option<String>,
    /// Inputs, required ones first, in the order of the editor.
    pub inputs: Vec<InputDef>,
    /// Outputs in order.
    pub outputs: Vec<OutputDef>,
    /// Inputs that ComfyUI fills in itself: name and kind.
    pub hidden: Vec<(String, String)>,
    /// Whether the class ends a graph.
    pub output_node: bool,
    /// Whether ComfyUI advises against it.
    pub deprecated: bool,
    /// Whether it may change.
    pub experimental: bool,
    /// Whether it calls a paid service.
    pub api_node: bool,
    /// The Python module that defines it.
    pub python_module: Option<String>,
    /// Its place in the editor's menu.
    pub category: Option<String>,
}

/// One input of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct InputDef {
    /// Its name.
    pub name: String,
    /// Whether a prompt must set it.
    pub required: bool,
    /// What it takes.
    pub kind: InputKind,
    /// What the editor starts with.
    pub default: Option<Value>,
    /// The least number.
    pub min: Option<Number>,
    /// The greatest number.
    pub max: Option<Number>,
    /// The distance between numbers in the editor.
    pub step: Option<Number>,
    /// The values of a combo.
    pub options: Vec<Value>,
    /// For a combo whose options are files: the folder, `input` for uploads, `unknown` if that is not known.
    pub listing: Option<String>,
    /// For a combo that the editor can upload to, what.
    pub upload: Option<Upload>,
    /// Whether text has lines.
    pub multiline: bool,
    /// Whether it is a socket in spite of its type.
    pub force_input: bool,
    /// Whether the editor offers to change it after each run, if the class says so.
    pub control_after_generate: Option<bool>,
    /// Whether several options may be chosen.
    pub multiselect: bool,
    /// Whether the editor resolves `{red|green}` and comments in the text before it sends it.
    pub dynamic_prompts: bool,
    /// Inputs that this one brings along, if it does.
    pub dynamic: Option<Dynamic>,
}

/// Inputs that depend on what another input is set to.
#[derive(Debug, Clone, PartialEq)]
pub enum Dynamic {
    /// Each option of a combo has inputs of its own; in a prompt they are named `combo.input`.
    Options(Vec<(Value, Vec<InputDef>)>),
    /// A list of sockets that grows; in a prompt they are named `group.socket`.
    Autogrow(Vec<InputDef>),
}

/// What an input takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// Text.
    Text,
    /// True or false.
    Boolean,
    /// One of the options.
    Combo,
    /// The output of another node, of one of these types; `*` is any.
    Socket(Vec<String>),
}

/// What the editor can upload to an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A sound.
    Audio,
    /// Some other file.
    File,
}

/// One output of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputDef {
    /// Its type: `IMAGE`, `LATENT`…
    pub ty: String,
    /// Its name.
    pub name: String,
    /// Whether it is a list.
    pub is_list: bool,
}

/// Why a catalog could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It is not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] ParseError),
    /// It is JSON of another shape.
    #[error("not the answer of `GET /object_info`: an object of node classes is expected")]
    Shape,
}

impl Catalog {
    /// The core nodes that ship with this crate.
    pub fn core() -> &'static Self {
        static CATALOG: OnceLock<Catalog> = OnceLock::new();
        CATALOG.get_or_init(|| {
            // The snapshot is ours, and a test reads it; were it broken, an empty catalog would still be served.
            Self::from_object_info(CORE.as_bytes()).map(|(catalog, _)| catalog).unwrap_or_default()
        })
    }

    /// Reads `object_info`, or a snapshot of it. What cannot be understood is left out and named.
    pub fn from_object_info(bytes: &[u8]) -> Result<(Self, Vec<crate::Diagnostic>), CatalogError> {
        let parsed = crate::json::parse(bytes)?;
        read::catalog(&parsed.value).ok_or(CatalogError::Shape)
    }

    /// The facts of all nodes, one a line, in the shape of `object_info`. File listings and prose are left out.
    pub fn to_snapshot(&self) -> String {
        write::snapshot(self)
    }

    /// Adds the definitions of another catalog, which win.
    pub fn extend(&mut self, other: Self) {
        self.nodes.extend(other.nodes);
    }

    /// Keeps the classes that ship with ComfyUI.
    pub fn retain_core(&mut self) {
        self.nodes.retain(|_, node| {
            let module = node.python_module.as_deref().unwrap_or_default();
            module == "nodes" || module.starts_with("comfy_extras.") || module.starts_with("comfy_api_nodes.")
        });
    }

    /// The definition of a class.
    pub fn get(&self, class_type: &str) -> Option<&NodeDef> {
        self.nodes.get(class_type)
    }

    /// All definitions, by class.
    pub fn iter(&self) -> impl Iterator<Item = &NodeDef> {
        self.nodes.values()
    }

    /// How many classes are defined.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no class is defined.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl NodeDef {
    /// The input with this name.
    pub fn input(&self, name: &str) -> Option<&InputDef> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// The definition in the shape of `object_info`, without prose.
    pub fn to_object_info(&self) -> Value {
        write::node(self)
    }
}

impl InputDef {
    /// Whether the value is given in the graph rather than by a link.
    pub fn is_widget(&self) -> bool {
        !self.force_input && !matches!(self.kind, InputKind::Socket(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_snapshot_is_whole_and_stable() {
        let (catalog, diagnostics) = Catalog::from_object_info(CORE.as_bytes()).unwrap();
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        assert!(catalog.len() > 480, "{}", catalog.len());
        assert_eq!(catalog.to_snapshot(), CORE);
    }

    #[test]
    fn ranges_are_exact() {
        let sampler = Catalog::core().get("KSampler").unwrap();
        let seed = sampler.input("seed").unwrap();
        assert_eq!(seed.max.as_ref().unwrap().as_u64(), Some(u64::MAX));
        assert_eq!(seed.control_after_generate, Some(true));
        assert!(sampler.input("sampler_name").unwrap().options.len() > 30);
        assert!(!sampler.input("model").unwrap().is_widget());
        let loader = Catalog::core().get("CheckpointLoaderSimple").unwrap();
        assert_eq!(loader.input("ckpt_name").unwrap().listing.as_deref(), Some("checkpoints"));
        assert!(loader.input("ckpt_name").unwrap().options.is_empty());
    }

    #[test]
    fn odd_shapes_are_read_or_named() {
        let text = br#"{"A":{"input":{"required":{"n":["INT",{"max":Infinity,"default":1.0}],"c":[["x",1,true]],
            "d":["COMBO",{"options":[6,10],"default":null}],"e":["COMBO"],"u":["INT,FLOAT",{}],"w":["*"]}},"output":"IMAGE"},
            "B":7,"C":{"input":{"required":{"bad":5,"worse":[]},"optional":null}},"D":{}}"#;
        let (catalog, diagnostics) = Catalog::from_object_info(text).unwrap();
        let node = catalog.get("A").unwrap();
        assert_eq!(node.input("n").unwrap().max, None);
        assert_eq!(node.input("d").unwrap().options.len(), 2);
        assert_eq!(node.input("u").unwrap().kind, InputKind::Socket(vec!["INT".into(), "FLOAT".into()]));
        assert!(catalog.get("B").is_none());
        assert!(catalog.get("D").is_some());
        assert_eq!(diagnostics.len(), 3, "{diagnostics:?}");
        assert!(matches!(Catalog::from_object_info(b"[]"), Err(CatalogError::Shape)));
    }
}
