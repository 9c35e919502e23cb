//! Which routes a workflow may have, and names made from them.

mod check;
mod files;
mod version;

pub use check::check;
pub use files::{OBJECT_INFO, PROJECT_LOCK, PROJECT_MODELS, of_companion, of_file, of_files};
pub use version::{Place, Version, path, places, unnumbered};

/// A name in snake case for one segment of a route, without a meaning in any language.
pub fn name(segment: &str) -> String {
    let mut name = String::new();
    for one in segment.chars() {
        if one.is_ascii_alphanumeric() {
            name.push(one.to_ascii_lowercase());
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    if name.len() > 1 {
        name.truncate(name.trim_end_matches('_').len());
    }
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.trim_matches('_').is_empty() {
        name.insert_str(0, "w_");
    }
    name
}

/// A name for each segment of a route.
pub fn names(path: &str) -> Vec<String> {
    path.split('/').map(name).collect()
}

/// `sampler_name` is `SamplerName`.
pub fn camel(text: &str) -> String {
    let mut name = String::new();
    let mut upper = true;
    for one in text.chars() {
        if one.is_ascii_alphanumeric() {
            name.push(if upper { one.to_ascii_uppercase() } else { one });
            upper = false;
        } else {
            upper = true;
        }
    }
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert(0, 'W');
    }
    if name.is_empty() { "Unnamed".to_owned() } else { name }
}
