//! The one form of byte ranges that matters: `bytes=a-b`, `bytes=a-` and `bytes=-n`.

/// Which part of a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: no range, several, or one we do not understand, which servers are to ignore.
    All,
    /// From `start` up to and including `end`.
    Part {
        /// The first byte.
        start: u64,
        /// The last byte.
        end: u64,
    },
    /// A part that the file does not have.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `size` bytes.
pub fn parse(header: Option<&str>, size: u64) -> Wanted {
    let parse = || -> Option<Wanted> {
        let (start, end) = header?.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
        let last = size.checked_sub(1);
        if start.is_empty() {
            let length: u64 = number(end)?;
            let reachable = last.filter(|_| length > 0);
            return Some(reachable.map_or(Wanted::Unsatisfiable, |end| Wanted::Part {
                start: size.saturating_sub(length),
                end,
            }));
        }
        let start: u64 = number(start)?;
        let end: u64 = if end.is_empty() { u64::MAX } else { number(end)? };
        if end < start {
            return None;
        }
        let reachable = last.filter(|last| start <= *last);
        Some(reachable.map_or(Wanted::Unsatisfiable, |last| Wanted::Part { start, end: end.min(last) }))
    };
    parse().unwrap_or(Wanted::All)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let part = |start, end| Wanted::Part { start, end };
        for (header, expected) in [
            ("bytes=0-3", part(0, 3)),
            ("bytes=4-", part(4, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-30", part(0, 9)),
            ("bytes=2-99", part(2, 9)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=3-1", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("items=0-1", Wanted::All),
            ("bytes=+1-2", Wanted::All),
        ] {
            assert_eq!(parse(Some(header), 10), expected, "{header}");
        }
        assert_eq!(parse(None, 10), Wanted::All);
        assert_eq!(parse(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }
}
