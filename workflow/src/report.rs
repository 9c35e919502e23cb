//! The readable form of an endpoint: what `comfyport check` prints.

use std::fmt::Write;

use crate::{
    diagnostic::printable,
    endpoint::{Endpoint, Param, ParamType, Tier},
    json::Value,
};

/// A report of several lines, ending in a newline.
pub fn render(endpoint: &Endpoint) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}\n  {}", printable(&endpoint.file), printable(&endpoint.title));
    if let Some(description) = &endpoint.description {
        let _ = writeln!(out, "  {}", printable(description));
    }
    if endpoint.is_usable() {
        let _ = writeln!(out, "  POST {}", routes(endpoint));
    }
    if let Some(deprecation) = &endpoint.deprecated {
        let _ = writeln!(out, "  {}", printable(&deprecation.to_string()));
    }
    for (tier, heading) in [(Tier::Primary, "Parameters"), (Tier::Advanced, "Advanced")] {
        let params: Vec<&Param> = endpoint.tier(tier).collect();
        if !params.is_empty() {
            let _ = writeln!(out, "\n{heading}");
            table(&mut out, params.iter().map(|param| row(param)));
        }
    }
    if !endpoint.outputs.is_empty() {
        out.push_str("\nOutputs\n");
        let rows = endpoint.outputs.iter().map(|output| {
            vec![
                output.name.clone(),
                output.kind.as_str().to_owned(),
                format!("{} (node {})", printable(&output.class_type), output.node),
            ]
        });
        table(&mut out, rows);
    }
    if !endpoint.models.is_empty() {
        out.push_str("\nModels\n");
        let rows = endpoint.models.iter().map(|model| {
            let fetched = if model.auto_download { ", fetched by the node itself" } else { "" };
            vec![
                model.folder.clone(),
                format!("{}{fetched}", printable(&model.file)),
                format!("node {}", printable(&model.node)),
            ]
        });
        table(&mut out, rows);
    }
    if !endpoint.node_packs.is_empty() {
        out.push_str("\nNode packs\n");
        let rows = endpoint.node_packs.iter().map(|pack| {
            let classes = if pack.classes.is_empty() { String::new() } else { pack.classes.join(", ") };
            vec![pack.id.clone(), pack.repository.clone().unwrap_or_default(), printable(&classes)]
        });
        table(&mut out, rows);
    }
    let hidden = endpoint.tier(Tier::Hidden).count();
    if hidden > 0 {
        let values = if hidden == 1 { "value is" } else { "values are" };
        let _ = writeln!(out, "\n{hidden} {values} not offered to callers; `--format json` lists them.");
    }
    if !endpoint.diagnostics.is_empty() {
        out.push('\n');
    }
    for diagnostic in &endpoint.diagnostics {
        out.push_str(&diagnostic.render(&endpoint.file));
    }
    out
}

/// Where it is served, and which version it is.
fn routes(endpoint: &Endpoint) -> String {
    let Some(version) = &endpoint.version else { return format!("/{}", endpoint.path) };
    let all: Vec<String> = version.all.iter().map(ToString::to_string).collect();
    let all = format!("version {} of {}", version.number, all.join(", "));
    if version.is_newest() {
        format!("/{}, /{} ({all}: the newest)", version.route, endpoint.path)
    } else {
        format!("/{} ({all})", endpoint.path)
    }
}

fn row(param: &Param) -> Vec<String> {
    let bindings: Vec<String> = param
        .bindings
        .iter()
        .map(|binding| {
            format!(
                "{}.{} (node {})",
                printable(&binding.class_type),
                printable(&binding.input),
                printable(&binding.node)
            )
        })
        .collect();
    vec![
        printable(&param.name),
        param.ty.as_str().to_owned(),
        start(param),
        range(param),
        format!("{}; {}", bindings.join(", "), param.signal),
    ]
}

fn start(param: &Param) -> String {
    match &param.default {
        _ if param.required => "required".to_owned(),
        None if param.ty == ParamType::Seed => "random".to_owned(),
        None => String::new(),
        Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(value) => shortened(&value.to_json()),
    }
}

fn range(param: &Param) -> String {
    if !param.options.is_empty() {
        let shown: Vec<String> = param
            .options
            .iter()
            .take(4)
            .map(|option| option.as_str().map_or_else(|| option.to_json(), str::to_owned))
            .collect();
        let more = if param.options.len() > shown.len() {
            format!(" … ({})", param.options.len())
        } else {
            String::new()
        };
        return shortened(&shown.join(" | ")) + &more;
    }
    match (&param.min, &param.max) {
        _ if param.ty == ParamType::Seed => String::new(),
        (Some(min), Some(max)) => format!("{min}..{max}"),
        (Some(min), None) => format!("≥ {min}"),
        (None, Some(max)) => format!("≤ {max}"),
        (None, None) => String::new(),
    }
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 36;
    let text = printable(text);
    if text.chars().count() <= LONGEST {
        text
    } else {
        text.chars().take(LONGEST - 1).chain(['…']).collect()
    }
}

/// Columns as wide as their widest cell; the last one runs free.
fn table(out: &mut String, rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            // A width in a format has an upper bound; a cell with thousands of places has none.
            let missing = " ".repeat(width - cell.chars().count());
            let _ = write!(line, " {cell}{missing} ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_be_wider_than_any_screen() {
        let mut out = String::new();
        let rows = [["a".to_owned(), "b".repeat(70_000)], ["cc".to_owned(), String::new()]];
        table(&mut out, rows.into_iter().map(Vec::from));
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!((lines[0].len(), lines[1]), (70_000 + 6, "  cc"));
    }
}
