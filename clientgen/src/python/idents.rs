//! Names of attributes.

use crate::{api::Api, names::Names};

/// What Python keeps for itself, and what annotations within a class speak of: an attribute of that name would hide it.
const TAKEN: &[&str] = &[
    "False",
    "None",
    "True",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "with",
    "yield",
    "bool",
    "bytes",
    "dataclass",
    "field",
    "float",
    "int",
    "self",
    "str",
    "Artifact",
    "ClassVar",
    "List",
    "Literal",
    "Lora",
    "Media",
    "MediaSummary",
    "NotRequired",
    "Optional",
    "Request",
    "Type",
    "TypedDict",
];

/// Whether Python has a use of its own for a name.
pub(super) fn is_taken(name: &str) -> bool {
    TAKEN.contains(&name)
}

/// Attributes of one class, each given once.
pub(super) struct Idents {
    names: Names,
}

impl Idents {
    pub(super) fn of(api: &Api<'_>) -> Self {
        let mut names = Names::besides(TAKEN);
        for name in super::names(api) {
            names.unique(&name);
        }
        Self { names }
    }

    /// The attribute for a name in JSON. A single underscore behind a name is Python's way around its keywords.
    pub(super) fn unique(&mut self, name: &str) -> String {
        let plain = |one: char| if one.is_ascii_alphanumeric() { one } else { '_' };
        let plain: String = name.chars().map(plain).collect();
        // What begins with underscores is private, or rewritten.
        let base = match plain.trim_start_matches('_') {
            "" => "unnamed".to_owned(),
            digit if digit.starts_with(|first: char| first.is_ascii_digit()) => format!("p_{digit}"),
            other => other.to_owned(),
        };
        if self.names.is_free(&base) {
            return self.names.unique(&base);
        }
        self.names.unique(&format!("{}_", base.trim_end_matches('_')))
    }
}
