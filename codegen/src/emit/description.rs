//! The static description of an endpoint.

use comfyport_workflow::{
    Endpoint, OutputKind, Stage,
    template::{self, Piece},
};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;

pub(super) fn of(endpoint: &Endpoint, request: &Ident, has_advanced: bool, file: &str) -> TokenStream {
    let Endpoint { path, title, classes, .. } = endpoint;
    let description = endpoint.description.as_deref().unwrap_or_default();
    let advanced = if has_advanced { quote!(Static(ADVANCED)) } else { quote!(Static(&[])) };
    let outputs = outputs(endpoint);
    let models = models(endpoint);
    let packs = packs(endpoint);
    let nodes = endpoint.graph.nodes.values().map(|node| {
        let (id, class, title) =
            (&node.id, &node.class_type, node.title.as_ref().unwrap_or(&node.class_type));
        quote!(NodeLabel { id: Static(#id), class_type: Static(#class), title: Static(#title) })
    });
    let pieces = template::pieces(endpoint).into_iter().map(piece);
    let openapi = format!("/{file}.openapi.json");
    let doc = format!(" `POST /{path}`");
    quote! {
        #[doc = #doc]
        pub static ENDPOINT: comfyport_endpoint::Endpoint = {
            #[allow(unused_imports)]
            use comfyport_endpoint::{
                Endpoint, Held::Static, Model, NodeLabel, NodePack, Output, OutputKind, Piece, Template,
            };
            Endpoint {
                path: Static(#path),
                title: Static(#title),
                description: Static(#description),
                fields: Static(#request::FIELDS),
                advanced: #advanced,
                outputs: Static(&[#(#outputs),*]),
                models: Static(&[#(#models),*]),
                node_packs: Static(&[#(#packs),*]),
                classes: Static(&[#(Static(#classes)),*]),
                nodes: Static(&[#(#nodes),*]),
                template: Template { pieces: Static(&[#(#pieces),*]) },
                openapi: Static(include_str!(concat!(env!("OUT_DIR"), #openapi))),
                new_request: |_| Box::new(#request::default()),
            }
        };
    }
}

fn outputs(endpoint: &Endpoint) -> Vec<TokenStream> {
    let output = |output: &comfyport_workflow::Output| {
        let comfyport_workflow::Output { name, node, class_type, many, .. } = output;
        let preview = output.stage == Stage::Preview;
        let kind = match output.kind {
            OutputKind::Image | OutputKind::ImageAnimated => quote!(Image),
            OutputKind::Video => quote!(Video),
            OutputKind::Audio => quote!(Audio),
            OutputKind::Mesh => quote!(Model3d),
            OutputKind::Text => quote!(Text),
            OutputKind::Latent => quote!(Latent),
            OutputKind::File => quote!(File),
        };
        quote! {
            Output {
                name: Static(#name),
                node: Static(#node),
                class_type: Static(#class_type),
                kind: OutputKind::#kind,
                many: #many,
                preview: #preview,
            }
        }
    };
    endpoint.outputs.iter().map(output).collect()
}

fn models(endpoint: &Endpoint) -> Vec<TokenStream> {
    let model = |model: &comfyport_workflow::ModelRef| {
        let comfyport_workflow::ModelRef { file, folder, node, input, .. } = model;
        let optional = |text: &Option<String>| {
            text.as_ref().map_or_else(|| quote!(None), |text| quote!(Some(Static(#text))))
        };
        let (url, sha256) = (optional(&model.url), optional(&model.sha256));
        quote! {
            Model {
                file: Static(#file),
                folder: Static(#folder),
                node: Static(#node),
                input: Static(#input),
                url: #url,
                sha256: #sha256,
            }
        }
    };
    endpoint.checked_models().map(model).collect()
}

fn packs(endpoint: &Endpoint) -> Vec<TokenStream> {
    let pack = |pack: &comfyport_workflow::NodePack| {
        let comfyport_workflow::NodePack { id, classes, .. } = pack;
        let repository = pack
            .repository
            .as_ref()
            .map_or_else(|| quote!(None), |repository| quote!(Some(Static(#repository))));
        quote! {
            NodePack { id: Static(#id), repository: #repository, classes: Static(&[#(Static(#classes)),*]) }
        }
    };
    endpoint.node_packs.iter().map(pack).collect()
}

fn piece(piece: Piece) -> TokenStream {
    match piece {
        Piece::Text(text) => quote!(Piece::Text(Static(#text))),
        Piece::Field(index) => {
            let index = Literal::u16_unsuffixed(index);
            quote!(Piece::Field(#index))
        }
        Piece::Advanced(index) => {
            let index = Literal::u16_unsuffixed(index);
            quote!(Piece::Advanced(#index))
        }
        Piece::Prefix(node) => quote!(Piece::Prefix(Static(#node))),
    }
}
