//! Words from a workflow as documentation: plain, on one line, and unable to be anything else.

use crate::{
    diagnostic::is_disruptive,
    endpoint::{Param, ParamType},
};

/// One line of text in which nothing is markup or code.
pub fn line(text: &str) -> String {
    let plain: String =
        text.chars().take(300).map(|one| if is_disruptive(one) || one == '`' { ' ' } else { one }).collect();
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    // rustdoc would read these as HTML and links.
    plain
        .replace('<', "‹")
        .replace('>', "›")
        .replace('[', "(")
        .replace(']', ")")
        .replace("*/", "* /")
        .replace("/*", "/ *")
}

/// What callers of a model are told that may be told by its address.
pub(crate) const FROM_URL: &str = "The name of a file, or an http or https address that ends in one, which is looked \
    for in all folders and fetched if it is in none.";

/// Whether a text may be an address of a model file.
pub(crate) fn is_by_address(param: &Param) -> bool {
    param.from_url && param.ty != ParamType::Loras
}

/// What a field means, its default, range and unit, and where it comes from.
pub fn field(param: &Param) -> String {
    let mut doc = param.description.as_deref().map(line).unwrap_or_default();
    if !doc.is_empty() && !doc.ends_with(['.', '!', '?']) {
        doc.push('.');
    }
    let mut add = |text: String| {
        if !doc.is_empty() {
            doc.push(' ');
        }
        doc.push_str(&text);
    };
    if is_by_address(param) {
        add(FROM_URL.to_owned());
    }
    if let Some(default) = &param.default {
        let shown = line(&default.to_json());
        let shown: String = shown.chars().take(80).collect();
        add(format!("Default {shown}."));
    }
    if let (Some(min), Some(max), true) = (&param.min, &param.max, param.ty != ParamType::Seed) {
        let unit = param.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
        add(format!("{min} to {max}{unit}."));
    }
    let places = param.bindings.iter().map(|binding| {
        format!("{}.{}, node {}", line(&binding.class_type), line(&binding.input), line(&binding.node))
    });
    let places = places.collect::<Vec<_>>().join("; ");
    add(format!("(`{places}`)"));
    doc
}
