//! What is known of a field before there is a request.

use crate::{List, Text};

/// One field of a request.
#[derive(Debug, Clone)]
pub struct Field {
    /// The name in JSON and in forms.
    pub name: Text,
    /// One sentence for callers; may be empty.
    pub doc: Text,
    /// What values it takes.
    pub kind: Kind,
    /// Whether callers must give it.
    pub required: bool,
    /// What it is when left out, as JSON text.
    pub default: Option<Text>,
    /// The node inputs it sets, as `"3.steps"`: the id ends at the first dot.
    pub at: List<Text>,
    /// What it means, where that is known: `prompt`, `seed`…
    pub role: Option<Text>,
}

impl Field {
    /// An optional field for tables written by hand; the derive writes those of a struct.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        at: &'static [Text],
    ) -> Self {
        let default = match default {
            Some(json) => Some(Text::Static(json)),
            None => None,
        };
        let (name, doc, at) = (Text::Static(name), Text::Static(""), List::Static(at));
        Self { name, doc, kind, required: false, default, at, role: None }
    }
}

/// What values a field takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Text of at most this many characters.
    Text {
        /// The greatest number of characters.
        max_length: usize,
    },
    /// A whole number in a closed range.
    Integer {
        /// The least value.
        min: i128,
        /// The greatest value.
        max: i128,
    },
    /// A number in a closed range.
    Float {
        /// The least value.
        min: f64,
        /// The greatest value.
        max: f64,
    },
    /// True or false.
    Boolean,
    /// One of a list of texts.
    Choice {
        /// The texts.
        options: List<Text>,
    },
    /// One of a list of whole numbers.
    NumberChoice {
        /// The numbers.
        options: List<i64>,
    },
    /// Text, with examples.
    Suggest {
        /// The examples.
        options: List<Text>,
    },
    /// A whole number that is drawn where left out.
    Seed {
        /// The least value.
        min: u64,
        /// The greatest value.
        max: u64,
    },
    /// The name of a model file, which must exist on the engine.
    Model {
        /// The folder below ComfyUI's `models`.
        folder: Text,
        /// Whether an address may take its place: the file is fetched from there if the engine has none of its name.
        from_url: bool,
    },
    /// LoRA files that are applied one after the other.
    Loras {
        /// The folder below ComfyUI's `models`.
        folder: Text,
        /// How many there may be.
        most: usize,
        /// Whether each has a strength of its own for the text encoder.
        clip: bool,
        /// Whether one that is told by its address is fetched from there if the engine has none of its name.
        from_url: bool,
        /// The least strength.
        min: f64,
        /// The greatest strength.
        max: f64,
    },
    /// A file.
    Media {
        /// What it holds.
        kind: MediaKind,
        /// How it reaches the node.
        encoding: MediaEncoding,
    },
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A picture whose channel marks an area.
    Mask,
    /// A film.
    Video,
    /// A sound.
    Audio,
    /// A 3D model.
    Model3d,
    /// Anything.
    File,
}

/// How a file reaches a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaEncoding {
    /// By the name it was uploaded under.
    UploadName,
    /// By an address.
    Url,
    /// As base64 in the prompt.
    Base64,
    /// As an address that holds the file itself: `data:image/png;base64,…`.
    DataUrl,
    /// By a path on the engine.
    Path,
}
