//! The `Prefer` header: whether and how long a caller wants to wait.

use std::time::Duration;

/// What a caller prefers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefer {
    /// An answer at once, the result later.
    pub respond_async: bool,
    /// An answer within this time.
    pub wait: Option<Duration>,
}

/// Reads all values of the header. What is not understood is ignored, as the standard wants it.
pub fn parse<'h>(headers: impl Iterator<Item = &'h str>) -> Prefer {
    let mut prefer = Prefer::default();
    for preference in headers.flat_map(|header| header.split([',', ';'])) {
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "respond-async" => prefer.respond_async = true,
            "wait" => {
                let seconds = value.trim().trim_matches('"').parse().ok().filter(|seconds| *seconds > 0);
                prefer.wait = seconds.map(Duration::from_secs);
            }
            _ => {}
        }
    }
    prefer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_and_others_ignored() {
        let wait = |seconds| Prefer { respond_async: false, wait: Some(Duration::from_secs(seconds)) };
        assert_eq!(parse(["wait=10"].into_iter()), wait(10));
        assert_eq!(parse(["handling=lenient", "Wait=\"7\""].into_iter()), wait(7));
        assert_eq!(parse(["wait=soon"].into_iter()), Prefer::default());
        assert!(parse(["Respond-Async, wait=5"].into_iter()).respond_async);
        assert_eq!(parse(std::iter::empty()), Prefer::default());
    }
}
