//! Texts that the editor changes before it submits them.

/// The text without comments, the first alternative of each `{red|green}` chosen, and whether there was a choice.
/// The editor chooses at random; a default has to be the same each time.
pub(super) fn settle(text: &str) -> (String, bool) {
    let text: Vec<char> = without_comments(text).chars().collect();
    let (mut result, mut index, mut chosen) = (String::new(), 0, false);
    // Alternatives that were chosen and still have to be left: how deep, and whether one is being skipped.
    let mut open: Vec<bool> = Vec::new();
    while let Some(&one) = text.get(index) {
        index += 1;
        let skipping = open.iter().any(|skipping| *skipping);
        match one {
            '\\' => {
                let next = text.get(index).copied();
                index += 1;
                if !skipping {
                    escaped(next, &mut result);
                }
            }
            '{' => open.push(false),
            '}' if !open.is_empty() => drop(open.pop()),
            '|' if !open.is_empty() => {
                chosen = true;
                if let Some(last) = open.last_mut() {
                    *last = true;
                }
            }
            _ if skipping => {}
            other => result.push(other),
        }
    }
    (result, chosen)
}

/// A backslash is kept unless it protects what would otherwise be a choice.
fn escaped(next: Option<char>, result: &mut String) {
    match next {
        Some(one @ ('{' | '}' | '|')) => result.push(one),
        Some(one) => {
            result.push('\\');
            result.push(one);
        }
        None => result.push('\\'),
    }
}

fn without_comments(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(start) = rest.find('/') {
        let (before, comment) = rest.split_at(start);
        kept.push_str(before);
        let end = if comment.starts_with("//") {
            comment.find(['\n', '\r', '\u{2028}', '\u{2029}']).unwrap_or(comment.len())
        } else {
            comment
                .get(2..)
                .filter(|_| comment.starts_with("/*"))
                .and_then(|body| body.find("*/"))
                .map_or(0, |end| end + 4)
        };
        if end == 0 {
            kept.push('/');
        }
        rest = &comment[end.max(1)..];
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::settle;

    #[test]
    fn the_first_alternative_is_taken() {
        assert_eq!(settle("a {red|green} car"), ("a red car".to_owned(), true));
        assert_eq!(settle("{a{b|c}|d} x"), ("ab x".to_owned(), true));
        assert_eq!(settle("{only} \\{kept\\} \\(x\\)"), ("only {kept} \\(x\\)".to_owned(), false));
    }

    #[test]
    fn comments_go() {
        assert_eq!(settle("a // b\nc /* d\n */ e/f").0, "a \nc  e/f");
        assert_eq!(settle("/*/ open").0, "/*/ open");
    }
}
