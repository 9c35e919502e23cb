//! The names that ComfyUI's editor gives to core nodes, in all its languages.
//!
//! A title that is one of them was not chosen by the author and says nothing about a node's purpose.

use std::{collections::BTreeMap, io::Read, sync::OnceLock};

use super::Catalog;

/// Lines of tab-separated fields: the class, then its names.
const NAMES: &[u8] = include_bytes!("../../data/display_names.tsv.zlib");

/// Whether a title is what the editor shows for this class by default, or so near to it that it says nothing more.
pub fn is_default_title(catalog: &Catalog, class_type: &str, title: &str) -> bool {
    let title = title.trim();
    let same = |name: &str| name == title || alike(name, title);
    if alike(class_type, title) || says_no_more(class_type, title) {
        return true;
    }
    if catalog.get(class_type).and_then(|node| node.display_name.as_deref()).is_some_and(same) {
        return true;
    }
    match names().get(class_type) {
        Some(names) => names.iter().any(|name| same(name)),
        None => similar(class_type, title),
    }
}

fn names() -> &'static BTreeMap<String, Vec<String>> {
    static TABLE: OnceLock<BTreeMap<String, Vec<String>>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut text = String::new();
        // Ours and tested; were it broken, every title would count as the author's.
        let _ = flate2::read::ZlibDecoder::new(NAMES).read_to_string(&mut text);
        let rows = text.lines().filter_map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            Some((fields.next()?, fields.collect()))
        });
        rows.collect()
    })
}

/// `Save GLB` is `SaveGLB` however it is spaced, and whatever pack is named behind it.
fn alike(one: &str, other: &str) -> bool {
    squeezed(one) == squeezed(other)
        || squeezed(without_tags(one)) == squeezed(without_tags(other))
            && !squeezed(without_tags(one)).is_empty()
}

fn squeezed(text: &str) -> String {
    spelt_out(text).chars().filter(|one| is_letter(*one)).flat_map(char::to_lowercase).collect()
}

fn spelt_out(text: &str) -> String {
    text.replace("w/", "with ").replace("W/", "with ")
}

/// Letters and digits, but not those that packs draw in circles to sign their nodes.
fn is_letter(one: char) -> bool {
    one.is_alphanumeric() && !('\u{1F100}'..='\u{1F1FF}').contains(&one)
}

/// Words in brackets that name a pack or a variant of the node, not what the author uses it for.
const TAGS: &[&str] = &[
    "upload",
    "path",
    "simple",
    "advanced",
    "efficient",
    "experimental",
    "beta",
    "legacy",
    "rgthree",
    "inspire",
    "impact",
    "kj",
    "kjnodes",
    "was",
    "mtb",
    "essentials",
    "comfyroll",
    "crystools",
    "easy",
    "gguf",
    "vhs",
    "pysssss",
    "loramanager",
    "wip",
];

/// A name without the pack's sign behind it: `Math Expression 🐍`, `Switch | pysssss`, `Load Video (Upload)`.
fn without_tags(text: &str) -> &str {
    let mut rest =
        text.split('|').next().unwrap_or(text).trim_end_matches(|one| !is_letter(one) && !")]".contains(one));
    loop {
        let open = match rest.chars().last() {
            Some(')') => '(',
            Some(']') => '[',
            _ => return rest,
        };
        let Some((before, tag)) = rest.rsplit_once(open) else { return rest };
        let known = open == '[' || words(tag).iter().all(|word| TAGS.contains(&word.as_str()));
        if !known || before.trim().is_empty() {
            return rest;
        }
        rest = before.trim_end_matches(|one| !is_letter(one) && !")]".contains(one));
    }
}

/// `Image Loader` says nothing that `LoadImage` does not say, and neither does `Load Mask` of `LoadImageMask`.
fn says_no_more(class_type: &str, title: &str) -> bool {
    let stem = |word: String| match word.as_str() {
        "loader" => "load".to_owned(),
        "encoder" => "encode".to_owned(),
        "decoder" => "decode".to_owned(),
        _ => word,
    };
    let class: Vec<String> = words(class_type).into_iter().map(stem).collect();
    let title: Vec<String> = words(without_tags(title)).into_iter().map(stem).collect();
    title.len() > 1 && title.iter().all(|word| class.contains(word))
}

/// Custom packs have no table: their default titles share most words with the class.
fn similar(class_type: &str, title: &str) -> bool {
    let (class, title) = (words(class_type), words(title));
    if title.is_empty() {
        return true;
    }
    let shared = title.iter().filter(|word| class.contains(word)).count();
    let all = title.len() + class.iter().filter(|word| !title.contains(word)).count();
    shared * 2 >= all
}

/// Lower-case words; `CamelCase` and digits part them.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous_lower = false;
    let mut open = false;
    for one in spelt_out(text).chars() {
        if !is_letter(one) {
            open = false;
            continue;
        }
        if !open || (one.is_uppercase() && previous_lower) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(one.to_lowercase());
        }
        open = true;
        previous_lower = one.is_lowercase() || one.is_numeric();
    }
    words.sort();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_titles_are_told_from_authors() {
        let catalog = Catalog::core();
        assert!(is_default_title(catalog, "AddNoise", "AjouterBruit"));
        assert!(is_default_title(catalog, "LoadImage", "Load Image"));
        assert!(!is_default_title(catalog, "LoadImage", "INPUTIMAGE"));
        assert!(is_default_title(catalog, "VHS_VideoCombine", "Video Combine 🎥🅥🅗🅢"));
        assert!(!is_default_title(catalog, "VHS_VideoCombine", "Final clip"));
        for (class, title) in [
            ("SavePictureWithMetaDataEverywhere", "Save Picture w/ Metadata Everywhere"),
            ("VAELoader", "load vae"),
            ("VAELoader", "Load VAE 🧩"),
            ("LoadImage", "Image Loader"),
            ("LoadImageMask", "Load Mask"),
            ("VHS_LoadVideo", "Load Video (Upload)"),
            ("LoadImage", "Load Image [Crystools]"),
            ("PackMathNode", "Math Node | somepack"),
        ] {
            assert!(is_default_title(catalog, class, title), "{title}");
        }
        for (class, title) in [
            ("LoadImage", "Load Image (Face)"),
            ("LoadImage", "Load Style Image"),
            ("LoadImageMask", "Sky"),
            ("KSampler", "Sampler for hands"),
            ("PackMathNode", "Ratio | somepack"),
        ] {
            assert!(!is_default_title(catalog, class, title), "{title}");
        }
    }
}
