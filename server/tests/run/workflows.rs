//! Two endpoints written by hand: one that needs no model, one that samples.

use comfyport_endpoint::{
    Endpoint, Image, MediaEncoding, Model, NodeLabel, NodePack, Output, OutputKind, Piece, Request, Seed,
    Template,
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

pub(crate) static RESIZE: Endpoint = Endpoint {
    path: "image/resize",
    title: "Resize",
    description: "",
    fields: Resize::FIELDS,
    advanced: &[],
    outputs: &[Output {
        name: "image",
        node: "3",
        class_type: "SaveImage",
        kind: OutputKind::Image,
        many: true,
        preview: false,
    }],
    models: &[],
    node_packs: &[],
    classes: &["ImageScale", "LoadImage", "SaveImage"],
    nodes: &[
        NodeLabel { id: "1", class_type: "LoadImage", title: "Load Image" },
        NodeLabel { id: "2", class_type: "ImageScale", title: "Upscale Image" },
        NodeLabel { id: "3", class_type: "SaveImage", title: "Save Image" },
    ],
    template: Template {
        pieces: &[
            Piece::Text(r#"{"1":{"class_type":"LoadImage","inputs":{"image":"#),
            Piece::Field(0),
            Piece::Text(
                r#"}},"2":{"class_type":"ImageScale","inputs":{"image":["1",0],"upscale_method":"lanczos","crop":"disabled","width":"#,
            ),
            Piece::Field(1),
            Piece::Text(r#","height":"#),
            Piece::Field(2),
            Piece::Text(r#"}},"3":{"class_type":"SaveImage","inputs":{"images":["2",0],"filename_prefix":"#),
            Piece::Prefix("3"),
            Piece::Text("}}}"),
        ],
    },
    openapi: "{}",
    new_request: || Box::new(Resize::default()),
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

const CHECKPOINT: Model = Model {
    file: "v1-5-pruned-emaonly-fp16.safetensors",
    folder: "checkpoints",
    node: "4",
    input: "ckpt_name",
    url: None,
    sha256: None,
};

pub(crate) static PAINT: Endpoint = Endpoint {
    path: "sd15/paint",
    title: "Paint",
    description: "",
    fields: Paint::FIELDS,
    advanced: &[],
    outputs: &[Output {
        name: "image",
        node: "9",
        class_type: "SaveImage",
        kind: OutputKind::Image,
        many: true,
        preview: false,
    }],
    models: &[CHECKPOINT],
    node_packs: &[],
    classes: &[
        "CLIPTextEncode",
        "CheckpointLoaderSimple",
        "EmptyLatentImage",
        "KSampler",
        "SaveImage",
        "VAEDecode",
    ],
    nodes: &[
        NodeLabel { id: "3", class_type: "KSampler", title: "The sampler" },
        NodeLabel { id: "4", class_type: "CheckpointLoaderSimple", title: "Load Checkpoint" },
        NodeLabel { id: "5", class_type: "EmptyLatentImage", title: "Size" },
        NodeLabel { id: "6", class_type: "CLIPTextEncode", title: "Prompt" },
        NodeLabel { id: "8", class_type: "VAEDecode", title: "Decode" },
        NodeLabel { id: "9", class_type: "SaveImage", title: "Save Image" },
    ],
    template: Template {
        pieces: &[
            Piece::Text(r#"{"4":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"#),
            Piece::Field(4),
            Piece::Text(
                r#"}},"5":{"class_type":"EmptyLatentImage","inputs":{"height":64,"batch_size":1,"width":"#,
            ),
            Piece::Field(3),
            Piece::Text(r#"}},"6":{"class_type":"CLIPTextEncode","inputs":{"clip":["4",1],"text":"#),
            Piece::Field(0),
            Piece::Text(
                r#"}},"3":{"class_type":"KSampler","inputs":{"model":["4",0],"positive":["6",0],"negative":["6",0],"latent_image":["5",0],"cfg":8,"sampler_name":"euler","scheduler":"normal","denoise":1,"seed":"#,
            ),
            Piece::Field(1),
            Piece::Text(r#","steps":"#),
            Piece::Field(2),
            Piece::Text(
                r#"}},"8":{"class_type":"VAEDecode","inputs":{"samples":["3",0],"vae":["4",2]}},"9":{"class_type":"SaveImage","inputs":{"images":["8",0],"filename_prefix":"#,
            ),
            Piece::Prefix("9"),
            Piece::Text("}}}"),
        ],
    },
    openapi: "{}",
    new_request: || Box::new(Paint::default()),
};

/// Needs a node pack and a model that no simulator has.
pub(crate) static LACKING: Endpoint = Endpoint {
    path: "lacking",
    title: "Lacking",
    description: "",
    fields: Resize::FIELDS,
    advanced: &[],
    outputs: RESIZE.outputs,
    models: &[Model { file: "sub\\v1-5-pruned-emaonly.safetensors", ..CHECKPOINT }],
    node_packs: &[NodePack {
        id: "comfyui-example-pack",
        repository: Some("https://example.org/pack"),
        classes: &["ExampleNode"],
    }],
    classes: &["ExampleNode", "SaveImage"],
    nodes: &[],
    template: RESIZE.template,
    openapi: "{}",
    new_request: || Box::new(Resize::default()),
};
