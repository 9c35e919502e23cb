//! What is wrong with an input, where, and what to do about it.

use std::fmt::Write;

use serde::Serialize;

use crate::graph::NodeId;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warning,
    /// No endpoint can be made.
    Error,
}

/// One finding about a workflow or a file beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name in kebab case, such as `dangling-link`.
    pub code: &'static str,
    /// The node it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// That node's title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The input of that node it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding that stops an endpoint from being made.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    /// A finding that is probably not what was meant.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    /// A finding worth knowing.
    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message.into())
    }

    fn new(severity: Severity, code: &'static str, message: String) -> Self {
        Self { severity, code, node: None, title: None, input: None, message, help: None }
    }

    /// Names the node.
    #[must_use]
    pub fn at_node(mut self, node: &str, title: Option<&str>) -> Self {
        self.node = Some(node.to_owned());
        self.title = title.map(str::to_owned);
        self
    }

    /// Names the input of the node.
    #[must_use]
    pub fn at_input(mut self, input: &str) -> Self {
        self.input = Some(input.to_owned());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether this stops an endpoint from being made.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// A few lines in the manner of a compiler, ending in a newline.
    pub fn render(&self, file: &str) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let mut text = format!("{severity}[{}]: {}\n  --> {file}", self.code, printable(&self.message));
        if let Some(node) = &self.node {
            let _ = write!(text, ", node {}", printable(node));
        }
        if let Some(title) = &self.title {
            let _ = write!(text, " \"{}\"", printable(title));
        }
        if let Some(input) = &self.input {
            let _ = write!(text, ", input {}", printable(input));
        }
        text.push('\n');
        if let Some(help) = &self.help {
            for (index, line) in help.lines().enumerate() {
                let margin = if index == 0 { "  help: " } else { "        " };
                let _ = writeln!(text, "{margin}{}", printable(line));
            }
        }
        text
    }
}

/// Titles come from strangers: control characters would move the cursor, a megabyte would bury the message.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 400;
    let mut shown: String =
        text.chars().take(LONGEST).map(|one| if is_disruptive(one) { '\u{FFFD}' } else { one }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters and the marks that reorder text around them.
pub fn is_disruptive(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}
