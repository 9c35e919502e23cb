//! The static description of an endpoint.

use comfyport_workflow::{
    Date, Deprecation, Endpoint, LoraPart, OutputKind, Place, PlacedRate, PlacedRule, Stage, Steps,
    template::{self, Piece},
};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, quote};

pub(super) fn of(endpoint: &Endpoint, request: &Ident, has_advanced: bool, file: &str) -> TokenStream {
    let Endpoint { path, title, .. } = endpoint;
    let description = endpoint.description.as_deref().unwrap_or_default();
    let version = endpoint.version.as_ref().map(|version| version.number);
    let version = version.map_or_else(|| quote!(None), |number| quote!(Some(#number)));
    let deprecated = deprecated(endpoint.deprecated.as_ref());
    let advanced = if has_advanced { quote!(Static(ADVANCED)) } else { quote!(Static(&[])) };
    let outputs = outputs(endpoint);
    let models = models(endpoint);
    let packs = packs(endpoint);
    let nodes = endpoint.graph.nodes.values().map(|node| {
        let (id, class, title) =
            (&node.id, &node.class_type, node.title.as_ref().unwrap_or(&node.class_type));
        let states = match endpoint.states_of(id) {
            u32::MAX => quote!(NodeLabel::ALWAYS),
            some => Literal::u32_unsuffixed(some).into_token_stream(),
        };
        quote! {
            NodeLabel { id: Static(#id), class_type: Static(#class), title: Static(#title), states: #states }
        }
    });
    let switches = endpoint.placed_switches().into_iter().map(Literal::u16_unsuffixed);
    let pieces = pieces(template::pieces(endpoint));
    let rules = endpoint.placed_rules().into_iter().map(rule);
    let openapi = format!("/{file}.openapi.json");
    let doc = format!(" `POST /{path}`");
    quote! {
        #[doc = #doc]
        pub static ENDPOINT: comfyport_endpoint::Endpoint = {
            #[allow(unused_imports)]
            use comfyport_endpoint::{
                Endpoint, Held::Static, Model, NodeLabel, NodePack, Output, OutputKind, Piece, Place,
                Rate, Rule, Steps, Template,
            };
            Endpoint {
                path: Static(#path),
                version: #version,
                deprecated: #deprecated,
                title: Static(#title),
                description: Static(#description),
                fields: Static(#request::FIELDS),
                advanced: #advanced,
                outputs: Static(&[#(#outputs),*]),
                models: Static(&[#(#models),*]),
                node_packs: Static(&[#(#packs),*]),
                nodes: Static(&[#(#nodes),*]),
                switches: Static(&[#(#switches),*]),
                rules: Static(&[#(#rules),*]),
                template: Template { pieces: #pieces },
                openapi: Static(include_str!(concat!(env!("OUT_DIR"), #openapi))),
                new_request: |_| Box::new(#request::default()),
            }
        };
    }
}

fn deprecated(deprecation: Option<&Deprecation>) -> TokenStream {
    let Some(Deprecation { since, sunset, link, note }) = deprecation else { return quote!(None) };
    let date = |date: &Option<Date>| {
        let Some(Date { unix, text }) = date else { return quote!(None) };
        quote!(Some(comfyport_endpoint::Date { unix: #unix, text: Static(#text) }))
    };
    let text = |text: &Option<String>| {
        text.as_ref().map_or_else(|| quote!(None), |text| quote!(Some(Static(#text))))
    };
    let (since, sunset, link, note) = (date(since), date(sunset), text(link), text(note));
    quote! {
        Some(comfyport_endpoint::Deprecation { since: #since, sunset: #sunset, link: #link, note: #note })
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

fn rule(rule: PlacedRule) -> TokenStream {
    match rule {
        PlacedRule::Duration { duration, frames, rate, steps } => {
            let (frames, steps) = (place(frames), self::steps(steps));
            let rate = match rate {
                PlacedRate::Constant(fps) => quote!(Constant(#fps)),
                PlacedRate::Given(at) => {
                    let at = place(at);
                    quote!(Given(#at))
                }
            };
            quote!(Rule::Duration { duration: #duration, frames: #frames, rate: Rate::#rate, steps: #steps })
        }
        PlacedRule::Size { aspect_ratio, megapixels, width, widths, height, heights } => {
            let (width, widths) = (place(width), self::steps(widths));
            let (height, heights) = (place(height), self::steps(heights));
            quote! {
                Rule::Size {
                    aspect_ratio: #aspect_ratio,
                    megapixels: #megapixels,
                    width: #width,
                    widths: #widths,
                    height: #height,
                    heights: #heights,
                }
            }
        }
        PlacedRule::Same { field, input } => {
            let input = place(input);
            quote!(Rule::Same { field: #field, input: #input })
        }
        PlacedRule::Either { field, input } => {
            let input = place(input);
            quote!(Rule::Either { field: #field, input: #input })
        }
        PlacedRule::SharedSeed { seed, follower } => {
            let (seed, follower) = (place(seed), place(follower));
            quote!(Rule::SharedSeed { seed: #seed, follower: #follower })
        }
    }
}

fn place(at: Place) -> TokenStream {
    match at {
        Place::Field(index) => {
            let index = Literal::u16_unsuffixed(index);
            quote!(Place::Field(#index))
        }
        Place::Advanced(index) => {
            let index = Literal::u16_unsuffixed(index);
            quote!(Place::Advanced(#index))
        }
    }
}

fn steps(Steps { first, step, last }: Steps) -> TokenStream {
    let [first, step, last] = [first, step, last].map(Literal::i64_unsuffixed);
    quote!(Steps { first: #first, step: #step, last: #last })
}

fn pieces(pieces: Vec<Piece>) -> TokenStream {
    let pieces = pieces.into_iter().map(piece);
    quote!(Static(&[#(#pieces),*]))
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
        Piece::Given { field, yes, no } => {
            let (field, yes, no) = (Literal::u16_unsuffixed(field), pieces(yes), pieces(no));
            quote!(Piece::Given { field: #field, yes: #yes, no: #no })
        }
        Piece::Loras { field, last, class_type, model, clip } => {
            let field = Literal::u16_unsuffixed(field);
            let clip = clip.map_or_else(|| quote!(None), |clip| quote!(Some(Static(#clip))));
            quote! {
                Piece::Loras {
                    field: #field,
                    last: Static(#last),
                    class_type: Static(#class_type),
                    model: Static(#model),
                    clip: #clip,
                }
            }
        }
        Piece::Listed { field, item, yes, no } => {
            let [field, item] = [field, item].map(Literal::u16_unsuffixed);
            let (yes, no) = (pieces(yes), pieces(no));
            quote!(Piece::Listed { field: #field, item: #item, yes: #yes, no: #no })
        }
        Piece::Lora { field, item, part } => {
            let [field, item] = [field, item].map(Literal::u16_unsuffixed);
            let part = match part {
                LoraPart::Name => quote!(Name),
                LoraPart::Strength => quote!(Strength),
                LoraPart::StrengthClip => quote!(StrengthClip),
            };
            quote!(Piece::Lora { field: #field, item: #item, part: comfyport_endpoint::LoraPart::#part })
        }
        Piece::When { switch, on, off } => {
            let (switch, on, off) = (Literal::u16_unsuffixed(switch), pieces(on), pieces(off));
            quote!(Piece::When { switch: #switch, on: #on, off: #off })
        }
    }
}
