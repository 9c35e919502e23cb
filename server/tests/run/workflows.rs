//! Two endpoints written by hand: one that needs no model, one that samples.

use comfyport_endpoint::{
    Endpoint, Held::Static, Image, MediaEncoding, Model, NodeLabel, NodePack, Output, OutputKind, Piece,
    Request, Seed, Template,
};

#[derive(Request, Debug, Clone, Default)]
pub(crate) struct Resize {
    /// The picture.
    #[input(at = "1.image")]
    pub image: Image,
    #[input(at = "2.width", min = 1, max = 4096, default = 512)]
    pub width: Option<i64>,
    #[input(at = "2.height", min = 1, max = 4096, default = 512)]
    pub height: Option<i64>,
}

/// An upload is named in the prompt, which is what these tests are about.
const _: MediaEncoding = MediaEncoding::UploadName;

const SCALED: &[Output] = &[Output {
    name: Static("image"),
    node: Static("3"),
    class_type: Static("SaveImage"),
    kind: OutputKind::Image,
    many: true,
    preview: false,
}];

const SCALING: &[Piece] = &[
    Piece::Text(Static(r#"{"1":{"class_type":"LoadImage","inputs":{"image":"#)),
    Piece::Field(0),
    Piece::Text(Static(
        r#"}},"2":{"class_type":"ImageScale","inputs":{"image":["1",0],"upscale_method":"lanczos","crop":"disabled","width":"#,
    )),
    Piece::Field(1),
    Piece::Text(Static(r#","height":"#)),
    Piece::Field(2),
    Piece::Text(Static(r#"}},"3":{"class_type":"SaveImage","inputs":{"images":["2",0],"filename_prefix":"#)),
    Piece::Prefix(Static("3")),
    Piece::Text(Static("}}}")),
];

pub(crate) static RESIZE: Endpoint = Endpoint {
    path: Static("image/resize"),
    version: None,
    deprecated: None,
    title: Static("Resize"),
    description: Static(""),
    fields: Static(Resize::FIELDS),
    advanced: Static(&[]),
    outputs: Static(SCALED),
    models: Static(&[]),
    node_packs: Static(&[]),
    nodes: Static(&[
        NodeLabel {
            id: Static("1"),
            class_type: Static("LoadImage"),
            title: Static("Load Image"),
            states: NodeLabel::ALWAYS,
        },
        NodeLabel {
            id: Static("2"),
            class_type: Static("ImageScale"),
            title: Static("Upscale Image"),
            states: NodeLabel::ALWAYS,
        },
        NodeLabel {
            id: Static("3"),
            class_type: Static("SaveImage"),
            title: Static("Save Image"),
            states: NodeLabel::ALWAYS,
        },
    ]),
    switches: Static(&[]),
    rules: Static(&[]),
    template: Template { pieces: Static(SCALING) },
    openapi: Static("{}"),
    new_request: |_| Box::new(Resize::default()),
};

#[derive(Request, Debug, Clone, Default)]
pub(crate) struct Paint {
    #[input(at = "6.text", role = "prompt")]
    pub prompt: String,
    #[input(at = "3.seed")]
    pub seed: Option<Seed>,
    #[input(at = "3.steps", min = 1, max = 10000, default = 4)]
    pub steps: Option<i64>,
    #[input(at = "5.width", min = 16, max = 4096, default = 64)]
    pub width: Option<i64>,
    #[input(at = "4.ckpt_name", folder = "checkpoints", default = "v1-5-pruned-emaonly-fp16.safetensors")]
    pub checkpoint: Option<String>,
}

const fn checkpoint(file: &'static str) -> Model {
    Model {
        file: Static(file),
        folder: Static("checkpoints"),
        node: Static("4"),
        input: Static("ckpt_name"),
        url: None,
        sha256: None,
    }
}

pub(crate) static PAINT: Endpoint = Endpoint {
    path: Static("sd15/paint"),
    version: None,
    deprecated: None,
    title: Static("Paint"),
    description: Static(""),
    fields: Static(Paint::FIELDS),
    advanced: Static(&[]),
    outputs: Static(&[Output {
        name: Static("image"),
        node: Static("9"),
        class_type: Static("SaveImage"),
        kind: OutputKind::Image,
        many: true,
        preview: false,
    }]),
    models: Static(&[checkpoint("v1-5-pruned-emaonly-fp16.safetensors")]),
    node_packs: Static(&[]),
    nodes: Static(&[
        NodeLabel {
            id: Static("3"),
            class_type: Static("KSampler"),
            title: Static("The sampler"),
            states: NodeLabel::ALWAYS,
        },
        NodeLabel {
            id: Static("4"),
            class_type: Static("CheckpointLoaderSimple"),
            title: Static("Load Checkpoint"),
            states: NodeLabel::ALWAYS,
        },
        NodeLabel {
            id: Static("5"),
            class_type: Static("EmptyLatentImage"),
            title: Static("Size"),
            states: NodeLabel::ALWAYS,
        },
        NodeLabel {
            id: Static("6"),
            class_type: Static("CLIPTextEncode"),
            title: Static("Prompt"),
            states: NodeLabel::ALWAYS,
        },
        NodeLabel {
            id: Static("8"),
            class_type: Static("VAEDecode"),
            title: Static("Decode"),
            states: NodeLabel::ALWAYS,
        },
        NodeLabel {
            id: Static("9"),
            class_type: Static("SaveImage"),
            title: Static("Save Image"),
            states: NodeLabel::ALWAYS,
        },
    ]),
    switches: Static(&[]),
    rules: Static(&[]),
    template: Template {
        pieces: Static(&[
            Piece::Text(Static(r#"{"4":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"#)),
            Piece::Field(4),
            Piece::Text(Static(
                r#"}},"5":{"class_type":"EmptyLatentImage","inputs":{"height":64,"batch_size":1,"width":"#,
            )),
            Piece::Field(3),
            Piece::Text(Static(r#"}},"6":{"class_type":"CLIPTextEncode","inputs":{"clip":["4",1],"text":"#)),
            Piece::Field(0),
            Piece::Text(Static(
                r#"}},"3":{"class_type":"KSampler","inputs":{"model":["4",0],"positive":["6",0],"negative":["6",0],"latent_image":["5",0],"cfg":8,"sampler_name":"euler","scheduler":"normal","denoise":1,"seed":"#,
            )),
            Piece::Field(1),
            Piece::Text(Static(r#","steps":"#)),
            Piece::Field(2),
            Piece::Text(Static(
                r#"}},"8":{"class_type":"VAEDecode","inputs":{"samples":["3",0],"vae":["4",2]}},"9":{"class_type":"SaveImage","inputs":{"images":["8",0],"filename_prefix":"#,
            )),
            Piece::Prefix(Static("9")),
            Piece::Text(Static("}}}")),
        ]),
    },
    openapi: Static("{}"),
    new_request: |_| Box::new(Paint::default()),
};

/// Needs a node pack and a model that no simulator has.
pub(crate) static LACKING: Endpoint = Endpoint {
    path: Static("lacking"),
    version: None,
    deprecated: None,
    title: Static("Lacking"),
    description: Static(""),
    fields: Static(Resize::FIELDS),
    advanced: Static(&[]),
    outputs: Static(SCALED),
    models: Static(&[checkpoint("sub\\v1-5-pruned-emaonly.safetensors")]),
    node_packs: Static(&[NodePack {
        id: Static("comfyui-example-pack"),
        repository: Some(Static("https://example.org/pack")),
        classes: Static(&[Static("ExampleNode")]),
    }]),
    nodes: Static(&[
        NodeLabel {
            id: Static("1"),
            class_type: Static("ExampleNode"),
            title: Static("Example"),
            states: NodeLabel::ALWAYS,
        },
        NodeLabel {
            id: Static("4"),
            class_type: Static("CheckpointLoaderSimple"),
            title: Static("Load Checkpoint"),
            states: NodeLabel::ALWAYS,
        },
    ]),
    switches: Static(&[]),
    rules: Static(&[]),
    template: Template { pieces: Static(SCALING) },
    openapi: Static("{}"),
    new_request: |_| Box::new(Resize::default()),
};
