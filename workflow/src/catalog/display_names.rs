//! The names that ComfyUI's editor gives to core nodes, in all its languages.
//!
//! A title that is one of them was not chosen by the author and says nothing about a node's purpose.

use std::{collections::BTreeMap, io::Read, sync::OnceLock};

use super::Catalog;

/// Lines of tab-separated fields: the class, then its names.
const NAMES: &[u8] = include_bytes!("../../data/display_names.tsv.zlib");

/// Whether a title is what the editor shows for this class by default.
pub fn is_default_title(catalog: &Catalog, class_type: &str, title: &str) -> bool {
    let title = title.trim();
    if squeezed(title) == squeezed(class_type) {
        return true;
    }
    if catalog.get(class_type).is_some_and(|node| node.display_name.as_deref() == Some(title)) {
        return true;
    }
    match names().get(class_type) {
        Some(names) => names.iter().any(|name| name == title),
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

/// `Save GLB` is `SaveGLB` however it is spaced.
fn squeezed(text: &str) -> String {
    text.chars().filter(|one| one.is_alphanumeric()).flat_map(char::to_lowercase).collect()
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
    for one in text.chars() {
        if !one.is_alphanumeric() {
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
    }
}
