//! Rows of text: aligned for people, separated by tabs for pipes.

use std::io::IsTerminal;

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
