//! Texts from workflows, which must stay texts whatever they hold.

/// Control characters, and what hides or reorders the text around it.
fn is_disruptive(one: char) -> bool {
    one.is_control()
        || matches!(
            one,
            '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// Words on one line.
pub(crate) fn line(text: &str) -> String {
    let plain: String = text.chars().map(|one| if is_disruptive(one) { ' ' } else { one }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The words of a text in lines of at most `width` characters, where words allow.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut length = 0;
    for word in line(text).split(' ').filter(|word| !word.is_empty()) {
        let size = word.chars().count();
        match lines.last_mut() {
            Some(last) if length + 1 + size <= width => {
                last.push(' ');
                last.push_str(word);
                length += 1 + size;
            }
            _ => {
                lines.push(word.to_owned());
                length = size;
            }
        }
    }
    lines
}

/// A literal of both languages that stands for exactly this text.
pub(crate) fn literal(text: &str, beyond: impl Fn(u32) -> String) -> String {
    let mut literal = String::from("\"");
    for one in text.chars() {
        match one {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\t' => literal.push_str("\\t"),
            odd if is_disruptive(odd) => match u32::from(odd) {
                code if code > 0xFFFF => literal.push_str(&beyond(code)),
                code => literal.push_str(&format!("\\u{code:04x}")),
            },
            other => literal.push(other),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        assert_eq!(line("a\n\u{202E}b\u{2028} c"), "a b c");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap(" \n ", 7), Vec::<String>::new());
        let braces = |code| format!("\\u{{{code:x}}}");
        assert_eq!(
            literal("a\"\\\n\r\u{2029}é\u{E0001}", braces),
            "\"a\\\"\\\\\\n\\u000d\\u2029é\\u{e0001}\""
        );
    }
}
