//! From an inferred endpoint to one that is served: what generated code is for those compiled in.

use comfyport_endpoint::{
    Date, Deprecation, Endpoint, LoraPart, Model, NodeLabel, NodePack, Output, OutputKind, Piece, Place,
    Rate, Rule, Steps, Table, Template, Text,
};
use comfyport_workflow::{PlacedRate, PlacedRule, Stage, Tier, openapi, template};

use super::fields;

/// The endpoint, with `id` as the operation that runs it. It equals what is compiled for the same workflow, but for
/// the struct that holds a request.
pub fn endpoint(inferred: &comfyport_workflow::Endpoint, id: &str) -> Endpoint {
    let node = |node: &comfyport_workflow::graph::Node| NodeLabel {
        id: text(&node.id),
        class_type: text(&node.class_type),
        title: text(node.title.as_ref().unwrap_or(&node.class_type)),
        states: inferred.states_of(&node.id),
    };
    Endpoint {
        path: text(&inferred.path),
        version: inferred.version.as_ref().map(|version| version.number),
        deprecated: inferred.deprecated.as_ref().map(deprecation),
        title: text(&inferred.title),
        description: text(inferred.description.as_deref().unwrap_or_default()),
        fields: inferred.tier(Tier::Primary).map(fields::primary).collect(),
        advanced: inferred.tier(Tier::Advanced).map(fields::advanced).collect(),
        outputs: inferred.outputs.iter().map(output).collect(),
        models: inferred.checked_models().map(model).collect(),
        node_packs: inferred.node_packs.iter().map(pack).collect(),
        nodes: inferred.graph.nodes.values().map(node).collect(),
        switches: inferred.placed_switches().into_iter().collect(),
        rules: inferred.placed_rules().into_iter().map(rule).collect(),
        template: Template { pieces: template::pieces(inferred).into_iter().map(piece).collect() },
        openapi: openapi::fragment(inferred, id).into(),
        new_request: Table::request,
    }
}

fn deprecation(deprecation: &comfyport_workflow::Deprecation) -> Deprecation {
    let date = |date: &Option<comfyport_workflow::Date>| {
        date.as_ref().map(|date| Date { unix: date.unix, text: text(&date.text) })
    };
    Deprecation {
        since: date(&deprecation.since),
        sunset: date(&deprecation.sunset),
        link: deprecation.link.as_deref().map(text),
        note: deprecation.note.as_deref().map(text),
    }
}

pub(super) fn text(text: &str) -> Text {
    Text::from(text.to_owned())
}

fn output(output: &comfyport_workflow::Output) -> Output {
    use comfyport_workflow::OutputKind as Kind;
    let kind = match output.kind {
        Kind::Image | Kind::ImageAnimated => OutputKind::Image,
        Kind::Video => OutputKind::Video,
        Kind::Audio => OutputKind::Audio,
        Kind::Mesh => OutputKind::Model3d,
        Kind::Text => OutputKind::Text,
        Kind::Latent => OutputKind::Latent,
        Kind::File => OutputKind::File,
    };
    Output {
        name: text(&output.name),
        node: text(&output.node),
        class_type: text(&output.class_type),
        kind,
        many: output.many,
        preview: output.stage == Stage::Preview,
    }
}

fn model(model: &comfyport_workflow::ModelRef) -> Model {
    Model {
        file: text(&model.file),
        folder: text(&model.folder),
        node: text(&model.node),
        input: text(&model.input),
        url: model.url.as_deref().map(text),
        sha256: model.sha256.as_deref().map(text),
    }
}

fn pack(pack: &comfyport_workflow::NodePack) -> NodePack {
    NodePack {
        id: text(&pack.id),
        repository: pack.repository.as_deref().map(text),
        classes: pack.classes.iter().map(|class| text(class)).collect(),
    }
}

fn rule(rule: PlacedRule) -> Rule {
    match rule {
        PlacedRule::Duration { duration, frames, rate, steps } => {
            let rate = match rate {
                PlacedRate::Constant(fps) => Rate::Constant(fps),
                PlacedRate::Given(at) => Rate::Given(place(at)),
            };
            Rule::Duration { duration, frames: place(frames), rate, steps: self::steps(steps) }
        }
        PlacedRule::Size { aspect_ratio, megapixels, width, widths, height, heights } => Rule::Size {
            aspect_ratio,
            megapixels,
            width: place(width),
            widths: steps(widths),
            height: place(height),
            heights: steps(heights),
        },
        PlacedRule::Same { field, input } => Rule::Same { field, input: place(input) },
        PlacedRule::Either { field, input } => Rule::Either { field, input: place(input) },
        PlacedRule::SharedSeed { seed, follower } => {
            Rule::SharedSeed { seed: place(seed), follower: place(follower) }
        }
    }
}

fn place(at: comfyport_workflow::Place) -> Place {
    match at {
        comfyport_workflow::Place::Field(index) => Place::Field(index),
        comfyport_workflow::Place::Advanced(index) => Place::Advanced(index),
    }
}

fn steps(comfyport_workflow::Steps { first, step, last }: comfyport_workflow::Steps) -> Steps {
    Steps { first, step, last }
}

fn piece(one: template::Piece) -> Piece {
    match one {
        template::Piece::Text(text) => Piece::Text(text.into()),
        template::Piece::Field(index) => Piece::Field(index),
        template::Piece::Advanced(index) => Piece::Advanced(index),
        template::Piece::Prefix(node) => Piece::Prefix(node.into()),
        template::Piece::When { switch, on, off } => {
            let pieces = |pieces: Vec<template::Piece>| pieces.into_iter().map(piece).collect();
            Piece::When { switch, on: pieces(on), off: pieces(off) }
        }
        template::Piece::Given { field, yes, no } => {
            let pieces = |pieces: Vec<template::Piece>| pieces.into_iter().map(piece).collect();
            Piece::Given { field, yes: pieces(yes), no: pieces(no) }
        }
        template::Piece::Listed { field, item, yes, no } => {
            let pieces = |pieces: Vec<template::Piece>| pieces.into_iter().map(piece).collect();
            Piece::Listed { field, item, yes: pieces(yes), no: pieces(no) }
        }
        template::Piece::Lora { field, item, part } => {
            use comfyport_workflow::LoraPart as Part;
            let part = match part {
                Part::Name => LoraPart::Name,
                Part::Strength => LoraPart::Strength,
                Part::StrengthClip => LoraPart::StrengthClip,
            };
            Piece::Lora { field, item, part }
        }
        template::Piece::Loras { field, last, class_type, model, clip } => Piece::Loras {
            field,
            last: last.into(),
            class_type: class_type.into(),
            model: model.into(),
            clip: clip.map(Text::from),
        },
    }
}
