//! Texts that say what to find in a picture, or that stand in one.

use std::collections::{BTreeMap, BTreeSet};

use super::{TEXT_INPUTS, is_language_model, is_text};
use crate::{
    catalog::InputKind,
    graph::{Input, Node},
    infer::{Context, names::slug, tiers::is_formula},
};

/// Classes whose text says what to find in a picture, by words of their names, and what the text is called.
const FINDERS: &[(&[&str], &str)] = &[
    (
        &["grounding", "dino", "florence", "florence2", "detect", "detector", "detection", "yolo"],
        "detect_prompt",
    ),
    (
        &[
            "segment",
            "segmentation",
            "segs",
            "sam",
            "sam2",
            "sam3",
            "sammodel",
            "clipseg",
            "clip_seg",
            "track",
            "tracker",
        ],
        "segment_prompt",
    ),
];

/// Classes whose text stands in the picture itself, by words of their names, and what the text is called.
const WRITERS: &[(&[&str], &str)] = &[
    (&["qr", "qrcode", "barcode"], "qr_text"),
    (
        &[
            "drawtext",
            "draw_text",
            "textoverlay",
            "text_overlay",
            "overlaytext",
            "overlay_text",
            "addtext",
            "watermark",
        ],
        "overlay_text",
    ),
];

/// Inputs of such classes that hold the text.
const WRITTEN: &[&str] = &["text", "data", "content", "payload", "string", "url", "value", "message"];

/// What a text is for where it does not condition a sampler.
pub(super) fn purpose(class_type: &str) -> Option<&'static str> {
    let class = class_type.to_lowercase();
    // Words that do not stand in others, and those of several parts wherever they stand.
    let slug = slug(class_type).unwrap_or_default();
    let words: Vec<&str> = slug.split('_').collect();
    let says = |word: &&str| {
        words.contains(word)
            || (word.len() > 5 || word.contains('_')) && (class.contains(*word) || slug.contains(*word))
    };
    if words.contains(&"sampler") || words.contains(&"ksampler") || class.contains("detailer") {
        return None;
    }
    let find = |table: &[(&'static [&'static str], &'static str)]| {
        table.iter().find(|(words, _)| words.iter().any(says)).map(|(_, name)| *name)
    };
    find(WRITERS).or_else(|| find(FINDERS))
}

pub(super) fn is_written(purpose: &str) -> bool {
    WRITERS.iter().any(|(_, name)| *name == purpose)
}

/// What the texts are for that feed nodes which find or write something.
pub(super) fn serving<'a>(context: &Context<'a>) -> BTreeMap<(&'a str, &'a str), &'static str> {
    let mut found = BTreeMap::new();
    let mut open: Vec<(&'a Node, &'a str, &'static str)> = Vec::new();
    let mut visited: BTreeSet<(&str, &str)> = BTreeSet::new();
    for node in context.graph.nodes.values() {
        let Some(purpose) = purpose(&node.class_type) else { continue };
        for (name, input) in &node.inputs {
            let lower = name.to_lowercase();
            let takes = if is_written(purpose) {
                WRITTEN.contains(&lower.as_str())
            } else {
                let asks =
                    ["prompt", "text", "caption", "query", "conditioning", "labels", "classes", "positive"];
                asks.iter().any(|word| lower.starts_with(word) || lower.ends_with(word))
                    && !lower.contains("negative")
            };
            let is_text = match input {
                Input::Link(_) => true,
                Input::Literal(value) => value.as_str().is_some() && !has_options(context, node, name),
            };
            if takes && is_text {
                open.push((node, name, purpose));
            }
        }
    }
    while let Some((node, input, purpose)) = open.pop() {
        if !visited.insert((&node.id, input)) {
            continue;
        }
        let Some(link) = node.link(input) else {
            found.insert((node.id.as_str(), input), purpose);
            continue;
        };
        let Some(source) = context.graph.node(&link.node) else { continue };
        // What a model writes is no text of callers.
        if is_language_model(source) || is_formula(source) {
            continue;
        }
        for (name, value) in &source.inputs {
            let lower = name.to_lowercase();
            let carries = match value {
                Input::Link(_) => TEXT_INPUTS.contains(&lower.as_str()),
                Input::Literal(value) => is_text(context, source, name, value),
            };
            if carries {
                open.push((source, name, purpose));
            }
        }
    }
    found
}

fn has_options(context: &Context<'_>, node: &Node, input: &str) -> bool {
    context.input(node, input).is_some_and(|definition| definition.kind != InputKind::Text)
}
