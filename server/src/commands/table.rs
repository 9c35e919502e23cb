//! Rows of text: aligned for people, separated by tabs for pipes.

use std::io::IsTerminal;

use serde_json::Value;

use super::remote::printable;

/// Rows under their headings. The last column may be as wide as it likes.
pub(super) fn table<const COLUMNS: usize>(headings: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    write(headings, rows, std::io::stdout().is_terminal())
}

fn write<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
    aligned: bool,
) -> String {
    let headings = headings.map(str::to_owned);
    let all = || std::iter::once(&headings).chain(rows);
    let widths: Vec<usize> = (0..COLUMNS)
        .map(|column| {
            all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in all() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| if aligned { format!("{cell:width$}") } else { cell.clone() })
            .collect();
        text.push_str(cells.join(if aligned { "  " } else { "\t" }).trim_end());
        text.push('\n');
    }
    text
}

/// Everything about one thing, a line each.
pub(super) fn details(value: &Value) -> String {
    let mut rows = Vec::new();
    flatten(value, "", &mut rows);
    table(["WHAT", "VALUE"], &rows)
}

fn flatten(value: &Value, name: &str, rows: &mut Vec<[String; 2]>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(value, &name, rows);
            }
        }
        other => rows.push([printable(name), text(other)]),
    }
}

/// A member as text; nothing if it is not there.
pub(super) fn cell(value: &Value, key: &str) -> String {
    value.get(key).map(text).unwrap_or_default()
}

/// A value as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => printable(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_columns_and_pipes_get_tabs() {
        let rows = [["a".to_owned(), "long one".to_owned()], ["bcd".to_owned(), String::new()]];
        assert_eq!(write(["N", "WHY"], &rows, true), "N    WHY\na    long one\nbcd\n");
        assert_eq!(write(["N", "WHY"], &rows, false), "N\tWHY\na\tlong one\nbcd\n");
    }
}
