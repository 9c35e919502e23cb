//! What authors call results.

use super::title::{braces, connect, head, mcww, own};
use crate::{graph::Node, infer::names::slug, json::Value, sidecar::is_name};

/// The name that the author gave to what an output node yields.
pub(in crate::infer) fn name(node: &Node) -> Option<String> {
    let title = head(node.title.as_deref().unwrap_or_default()).trim();
    let tagged = own::read(title).find_map(|word| match word {
        own::Word::Tag(tag) if tag.input.is_none() => Some(tag.name.to_owned()),
        _ => None,
    });
    let raw = tagged
        .or_else(|| connect::result(title).map(str::to_owned))
        .or_else(|| mcww::parse(title).filter(mcww::Place::is_output).map(|place| place.label.to_owned()))
        .or_else(|| braces::result(node, title))
        .or_else(|| field(node).map(str::to_owned))?;
    if is_name(&raw) { Some(raw) } else { slug(&raw) }
}

/// Whether the author takes the result away from callers.
pub(in crate::infer) fn is_hidden(node: &Node) -> bool {
    let title = head(node.title.as_deref().unwrap_or_default());
    own::read(title).any(|word| word == own::Word::Hide(None))
}

/// Output nodes of other tools hold the name in an input.
fn field(node: &Node) -> Option<&str> {
    let input = if node.class_type.starts_with("ComfyDeployOutput")
        || node.class_type.starts_with("ComfyDeployWebscoket")
    {
        "output_id"
    } else if matches!(node.class_type.as_str(), "ETN_KritaOutput" | "ETN_KritaSendText") {
        "name"
    } else {
        return None;
    };
    node.literal(input).and_then(Value::as_str).filter(|name| !name.trim().is_empty())
}
