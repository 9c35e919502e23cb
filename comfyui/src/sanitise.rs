//! Takes tracebacks, server paths and URL secrets out of messages.

/// Longest message passed on, in characters.
const LIMIT: usize = 500;

/// An exception's message, fit to be shown to a caller.
pub(crate) fn message(text: &str) -> String {
    let text = text.split("Traceback (most recent call last)").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("File \""));
    let clean = lines.map(line).collect::<Vec<_>>().join("\n");
    let clean = clean.trim();
    match clean.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean.to_owned(),
    }
}

fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if matches!(first, '\'' | '"' | '`') {
            let inner = &rest[1..];
            // A quoted path may hold spaces, so the quotes bound it.
            if let Some(end) = inner.find(first) {
                out.push(first);
                out.push_str(&if is_path(&inner[..end]) { word(&inner[..end]) } else { line(&inner[..end]) });
                out.push(first);
                rest = &inner[end + 1..];
            } else {
                out.push(first);
                rest = inner;
            }
        } else if is_break(first) {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let quote = |c: char| matches!(c, '\'' | '"' | '`');
            let mut end = rest.find(|c| is_break(c) || quote(c)).unwrap_or(rest.len());
            if rest[..end].contains("://") {
                // A URL's secrets stand behind its `?`, past characters that end any other word.
                end = rest.find(|c: char| c.is_whitespace() || quote(c) || c == '>').unwrap_or(rest.len());
            }
            out.push_str(&word(&rest[..end]));
            rest = &rest[end..];
        }
    }
    out
}

fn is_break(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',' | ';' | '=')
}

fn is_path(text: &str) -> bool {
    let bytes = text.as_bytes();
    let rooted = matches!(bytes, [b'/', next, ..] if !next.is_ascii_whitespace());
    let drive = matches!(bytes, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    rooted || drive || text.starts_with("\\\\") || text.starts_with("~/")
}

/// A path becomes its last part; a URL loses user, query and fragment.
fn word(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://") {
        if scheme == "file" {
            return last(rest).to_owned();
        }
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = authority.rsplit('@').next().unwrap_or_default();
        return format!("{scheme}://{host}{path}");
    }
    if is_path(text) {
        return last(text).to_owned();
    }
    // `error:/srv/file` has its path behind a colon.
    match text.find(":/") {
        Some(at) if is_path(&text[at + 1..]) => format!("{}:{}", &text[..at], last(&text[at + 1..])),
        _ => text.to_owned(),
    }
}

fn last(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn paths_and_secrets_go() {
        for (from, to) in [
            ("boom\n", "boom"),
            ("No such file: '/srv/my models/x.safetensors'", "No such file: 'x.safetensors'"),
            (r"C:\Users\me\a.png missing", "a.png missing"),
            ("at (/a/b.py)", "at (b.py)"),
            ("errno:/a/b", "errno:b"),
            ("get https://u:p@h/x?a=1,2&sig=1;3 now", "get https://h/x now"),
            ("a / b and 3/4", "a / b and 3/4"),
            ("x\nTraceback (most recent call last):\n  File \"/a\"", "x"),
        ] {
            assert_eq!(message(from), to, "{from}");
        }
        assert_eq!(message(&"ü".repeat(600)).chars().count(), 501);
    }
}
