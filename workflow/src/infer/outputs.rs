//! Which nodes yield results, and what those are.

use std::collections::BTreeSet;

use super::{Context, Found, declared, names::slug};
use crate::{
    catalog::Catalog,
    diagnostic::Diagnostic,
    endpoint::{Output, OutputKind, Stage},
    graph::{Graph, Node, compare_ids},
};

/// Nodes that do something and yield nothing.
const SIDE_EFFECTS: &[&str] =
    &["clean", "clear", "playsound", "unload", "freememory", "garbage", "beep", "notify"];

/// Nodes that are called outputs and are none to ComfyUI, which would refuse to run a graph for them.
const NO_OUTPUTS: &[&str] = &["ServingOutput", "ServingTextOutput", "ServingMultiImageOutput"];

/// Words of output nodes whose definition is not known.
const STRONG: &[&str] = &["save", "preview", "combine", "show", "export"];
const WEAK: &[&str] = &["output", "display", "websocket", "send", "upload", "write", "result", "return"];

/// Results in the order of ids. Previews count only where nothing is kept.
pub(super) fn find(graph: &Graph, catalog: &Catalog) -> Vec<Found> {
    let consumers = graph.consumers();
    let mut found: Vec<Found> = graph
        .nodes
        .values()
        .filter(|node| yields(node, catalog, !consumers.contains_key(node.id.as_str())))
        .filter(|node| !is_side_effect(&node.class_type))
        .map(|node| Found {
            node: node.id.clone(),
            kind: kind(node, graph, catalog),
            stage: stage(&node.class_type),
        })
        .collect();
    if found.iter().any(|output| output.stage != Stage::Preview) {
        found.retain(|output| output.stage != Stage::Preview);
    }
    found.sort_by(|left, right| compare_ids(&left.node, &right.node));
    found
}

/// Whether a node yields a result.
pub(super) fn is_output(node: &Node, context: &Context<'_>) -> bool {
    yields(node, context.catalog, context.fed_by(&node.id).is_empty()) && !is_side_effect(&node.class_type)
}

fn yields(node: &Node, catalog: &Catalog, sink: bool) -> bool {
    if let Some(definition) = catalog.get(&node.class_type) {
        return definition.output_node;
    }
    let class = node.class_type.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| class.contains(word));
    let loads = class.starts_with("load") || class.contains("loader");
    node.links().next().is_some()
        && !loads
        && !NO_OUTPUTS.contains(&node.class_type.as_str())
        && (says(STRONG) || (sink && says(WEAK)))
}

fn is_side_effect(class_type: &str) -> bool {
    let class = class_type.to_lowercase();
    SIDE_EFFECTS.iter().any(|word| class.contains(word))
}

fn stage(class_type: &str) -> Stage {
    let class = class_type.to_lowercase();
    if class.contains("websocket") || class.contains("webscoket") || class_type.ends_with("WS") {
        Stage::Websocket
    } else if ["preview", "show", "display"].iter().any(|word| class.contains(word)) {
        Stage::Preview
    } else {
        Stage::Final
    }
}

fn kind(node: &Node, graph: &Graph, catalog: &Catalog) -> OutputKind {
    let class = node.class_type.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| class.contains(word));
    if says(&["glb", "mesh", "3d", "gltf", "ply", "obj"]) && !says(&["object"]) {
        OutputKind::Mesh
    } else if says(&["animated", "gif"]) {
        OutputKind::ImageAnimated
    } else if says(&["video", "webm", "mp4"]) {
        OutputKind::Video
    } else if says(&["audio", "sound", "music"]) {
        OutputKind::Audio
    } else if says(&["latent"]) {
        OutputKind::Latent
    } else if says(&["lora", "checkpoint", "savemodel", "modelsave", "clipsave", "vaesave"]) {
        OutputKind::File
    } else if says(&["text", "string", "previewany", "anything", "json"]) {
        OutputKind::Text
    } else {
        from_links(node, graph, catalog).unwrap_or(OutputKind::Image)
    }
}

/// What arrives at the node, where the class does not say what it saves.
fn from_links(node: &Node, graph: &Graph, catalog: &Catalog) -> Option<OutputKind> {
    node.links().find_map(|(_, link)| {
        let source = catalog.get(&graph.node(&link.node)?.class_type)?;
        match source.outputs.get(link.slot as usize)?.ty.as_str() {
            "IMAGE" | "MASK" => Some(OutputKind::Image),
            "VIDEO" => Some(OutputKind::Video),
            "AUDIO" => Some(OutputKind::Audio),
            "MESH" | "VOXEL" => Some(OutputKind::Mesh),
            "STRING" | "INT" | "FLOAT" | "BOOLEAN" => Some(OutputKind::Text),
            "LATENT" => Some(OutputKind::Latent),
            _ => None,
        }
    })
}

/// Leaves out what is the same as another result: the same class keeps the same thing in the same way. A title, or
/// whoever decides about results elsewhere, means that one.
pub(super) fn drop_repeats(graph: &Graph, found: &mut Vec<Found>, is_meant: impl Fn(&str) -> bool) {
    let same = |one: &Node, other: &Node| {
        let prefix = |name: &&String| *name != "filename_prefix";
        let names = |node: &Node| node.inputs.keys().filter(prefix).count();
        one.class_type == other.class_type
            && names(one) == names(other)
            && one
                .inputs
                .iter()
                .filter(|(name, _)| prefix(name))
                .all(|(name, input)| other.inputs.get(name) == Some(input))
    };
    let mut kept: Vec<Found> = Vec::new();
    for result in std::mem::take(found) {
        let node = graph.node(&result.node);
        let repeated = node.filter(|node| !is_meant(&node.id)).is_some_and(|node| {
            let of = kept.iter().filter_map(|one| graph.node(&one.node));
            of.into_iter()
                .any(|other| same(node, other) && (node.title.is_none() || node.title == other.title))
        });
        if !repeated {
            kept.push(result);
        }
    }
    *found = kept;
}

/// Names results: what the author calls them, else what they are, with numbers only where nothing else tells them
/// apart.
pub(super) fn name(
    context: &Context<'_>,
    found: Vec<Found>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Output> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut outputs = Vec::new();
    for (place, result) in by_depth(context, found) {
        let Some(node) = context.graph.node(&result.node) else { continue };
        if declared::output::is_hidden(node) {
            continue;
        }
        let declared = declared::output::name(node);
        let title = declared.clone().or_else(|| context.custom_title(node).and_then(slug));
        let base = title.unwrap_or_else(|| plain_name(result.kind).to_owned());
        let numbered = (2..).map(|number| format!("{base}_{number}"));
        let free = std::iter::once(base.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
        let Some(name) = free else { continue };
        if name != base && declared.is_some() {
            let message = format!("two results are called `{base}`: this one becomes `{name}`");
            diagnostics.push(
                Diagnostic::warning("conflicting-declarations", message)
                    .at_node(&node.id, node.title.as_deref())
                    .help("give one of them another name"),
            );
        }
        let output = Output {
            name,
            node: node.id.clone(),
            class_type: node.class_type.clone(),
            kind: result.kind,
            stage: result.stage,
            many: matches!(result.kind, OutputKind::Image | OutputKind::Text),
        };
        outputs.push((place, output));
    }
    outputs.sort_by_key(|(place, _)| *place);
    outputs.into_iter().map(|(_, output)| output).collect()
}

/// Results with their places, the one that most of the graph leads to first: of several pictures that is what the
/// workflow is for, and the others are steps on the way.
fn by_depth(context: &Context<'_>, found: Vec<Found>) -> Vec<(usize, Found)> {
    let mut ordered: Vec<(usize, Found)> = found.into_iter().enumerate().collect();
    ordered.sort_by_cached_key(|(place, result)| {
        let leads = context.graph.ancestors([result.node.as_str()]).len();
        (std::cmp::Reverse(leads), *place)
    });
    ordered
}

/// A picture that moves is a picture to those who show it, but not the only kind of picture.
fn plain_name(kind: OutputKind) -> &'static str {
    if kind == OutputKind::ImageAnimated { "animation" } else { kind.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, endpoint};

    fn names(graph: &str) -> Vec<String> {
        let options =
            Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
        let endpoint = endpoint(graph.as_bytes(), &options).unwrap();
        endpoint.outputs.into_iter().map(|output| format!("{} {}", output.node, output.name)).collect()
    }

    #[test]
    fn what_is_saved_twice_is_one_result() {
        let graph = r#"{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},
            "2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"a"}},
            "3":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"b"}},
            "4":{"class_type":"PreviewImage","inputs":{"images":["1",0]}}}"#;
        assert_eq!(names(graph), ["2 image"]);
        let titled = graph.replacen(
            r#""class_type":"SaveImage""#,
            r#""_meta":{"title":"Copy"},"class_type":"SaveImage""#,
            2,
        );
        assert_eq!(names(&titled), ["2 copy"]);
        let other = titled.replacen("Copy", "Original", 1);
        assert_eq!(names(&other), ["2 original", "3 copy"]);
    }

    #[test]
    fn the_last_picture_has_the_plain_name() {
        let graph = r#"{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},
            "2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"a"}},
            "3":{"class_type":"ImageInvert","inputs":{"image":["1",0]}},
            "4":{"class_type":"SaveImage","inputs":{"images":["3",0],"filename_prefix":"b"}},
            "5":{"class_type":"SaveAnimatedWEBP","inputs":{"images":["3",0],"filename_prefix":"b","fps":6}}}"#;
        assert_eq!(names(graph), ["2 image_2", "4 image", "5 animation"]);
    }
}
