//! What several lists are called, where words tell them apart.

use std::collections::BTreeSet;

use super::LoraPlace;
use crate::{
    catalog::{Catalog, display_names::is_default_title, model_folders::is_model_file},
    graph::{Graph, Node},
    infer::{declared, names::slug},
    json::Value,
};

/// Words of titles that say no more than that there are LoRAs.
const PLAIN: &[&str] = &[
    "lora", "loras", "loader", "load", "stack", "stacker", "power", "multi", "select", "model", "only",
    "apply", "of", "for", "the",
];
/// What else is high or low than noise.
const NOT_NOISE: &[&str] = &["res", "quality", "vram", "mem", "poly", "detail", "contrast", "key"];

/// A name for each of several lists; `None` where no words tell them apart.
///
/// Models for high and for low noise, one after the other in a film, are told apart by the files behind the lists.
/// Otherwise the titles that an author gave to the nodes decide.
pub(super) fn tell_apart(graph: &Graph, catalog: &Catalog, places: &[LoraPlace]) -> Option<Vec<String>> {
    let names = by_noise(graph, places).or_else(|| by_title(graph, catalog, places))?;
    let distinct: BTreeSet<&String> = names.iter().collect();
    (distinct.len() == places.len()).then_some(names)
}

fn by_noise(graph: &Graph, places: &[LoraPlace]) -> Option<Vec<String>> {
    let name = |place: &LoraPlace| {
        let words: BTreeSet<&str> = texts(graph, place).iter().flat_map(|text| noise(text)).collect();
        let mut words = words.into_iter();
        let only = words.next().filter(|_| words.next().is_none())?;
        Some(format!("{only}_noise_loras"))
    };
    places.iter().map(name).collect()
}

/// `high` and `low`, where a text says it of noise or of nothing.
fn noise(text: &str) -> Vec<&'static str> {
    let slug = slug(text).unwrap_or_default();
    let words: Vec<&str> = slug.split('_').collect();
    let says = |wanted: &str| {
        words.iter().enumerate().any(|(at, word)| {
            let next = words.get(at + 1).copied().unwrap_or_default();
            let of = word.strip_prefix(wanted);
            of.is_some_and(|rest| rest == "noise" || rest.is_empty())
                && !NOT_NOISE.iter().any(|other| next.starts_with(other))
        })
    };
    ["high", "low"].into_iter().filter(|wanted| says(wanted)).collect()
}

/// Titles and files of the nodes that hold a list, and the files of the models that it changes.
fn texts(graph: &Graph, place: &LoraPlace) -> Vec<String> {
    let holders = holders(graph, place);
    let fed = graph
        .nodes
        .values()
        .filter(|node| node.links().any(|(_, link)| holders.iter().any(|holder| holder.id == link.node)));
    // What a stack is fed into may be the loader of the model itself.
    let changed: Vec<&Node> = holders.iter().copied().chain(fed).collect();
    let behind =
        graph.ancestors(changed.iter().filter_map(|node| node.link("model")).map(|link| link.node.as_str()));
    let behind = behind.iter().filter_map(|id| graph.node(id));
    let titles = holders.iter().filter_map(|node| node.title.clone());
    titles.chain(changed.iter().copied().chain(behind).flat_map(files)).collect()
}

fn holders<'g>(graph: &'g Graph, place: &LoraPlace) -> Vec<&'g Node> {
    let ids = match place {
        LoraPlace::Chain(chain) => chain.nodes.iter().chain(&chain.before).collect(),
        LoraPlace::Stack(stack) => vec![&stack.node],
    };
    ids.into_iter().filter_map(|id| graph.node(id)).collect()
}

fn files(node: &Node) -> Vec<String> {
    let texts = node.inputs.keys().filter_map(|input| match node.literal(input)? {
        Value::Object(row) => row.get("lora")?.as_str(),
        value => value.as_str(),
    });
    texts.filter(|text| is_model_file(text)).map(str::to_owned).collect()
}

/// What the title of a list's first node says besides that it is about LoRAs.
fn by_title(graph: &Graph, catalog: &Catalog, places: &[LoraPlace]) -> Option<Vec<String>> {
    let name = |place: &LoraPlace| {
        let node = *holders(graph, place).first()?;
        let title = declared::plain_title(node.title.as_deref()?)?;
        if is_default_title(catalog, &node.class_type, title) {
            return None;
        }
        // Its capitals begin no words.
        let slug = slug(&title.replace("LoRA", "Lora").replace("LoRa", "Lora"))?;
        let words: Vec<&str> = slug.split('_').filter(|word| !PLAIN.contains(word)).collect();
        let says = words.iter().any(|word| word.bytes().any(|letter| letter.is_ascii_lowercase()));
        says.then(|| format!("{}_loras", words.join("_")))
    };
    places.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_and_low_are_said_of_noise() {
        for (text, expected) in [
            ("wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", &["high"][..]),
            ("Wan2_2-I2V-A14B-LOW_fp8_e4m3fn_scaled_KJ.safetensors", &["low"]),
            ("HighNoise lora", &["high"]),
            ("highnoise", &["high"]),
            ("low_res_fix.safetensors", &[]),
            ("highlights.safetensors", &[]),
            ("high to low.safetensors", &["high", "low"]),
        ] {
            assert_eq!(noise(text), expected, "{text}");
        }
    }
}
