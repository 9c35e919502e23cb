//! What an author declares about one value.

use super::range::Range;
use crate::{
    diagnostic::{Diagnostic, printable},
    endpoint::{ParamType, Tier},
    graph::Node,
    infer::{candidate::Candidate, names::slug, types},
    json::{Number, Value},
};

/// One declaration, whatever the convention it was written in.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// The name as written; where there is none, inference names the parameter.
    pub(super) name: Option<String>,
    /// A name for when no other is written, which need not be the only one of its kind.
    pub(super) suggested: Option<String>,
    /// The inputs that are set; the first one holds the default.
    pub(super) inputs: Vec<String>,
    pub(super) ty: Option<ParamType>,
    pub(super) tier: Tier,
    /// Whether callers must give it; where it is not said, files are required and nothing else is.
    pub(super) required: Option<bool>,
    /// The value behind a placeholder of another tool's.
    pub(super) value: Option<Value>,
    pub(super) range: Range,
    pub(super) options: Vec<Value>,
    /// How a file reaches the node.
    pub(super) encoding: Option<&'static str>,
    pub(super) description: Option<String>,
    pub(super) signal: &'static str,
}

impl Claim {
    pub(super) fn new(input: &str, signal: &'static str) -> Self {
        Self {
            name: None,
            suggested: None,
            inputs: vec![input.to_owned()],
            ty: None,
            tier: Tier::Primary,
            required: None,
            value: None,
            range: Range::default(),
            options: Vec::new(),
            encoding: None,
            description: None,
            signal,
        }
    }

    pub(super) fn named(mut self, name: Option<impl Into<String>>) -> Self {
        self.name = name.map(Into::into);
        self
    }

    pub(super) fn suggesting(mut self, name: Option<impl Into<String>>) -> Self {
        self.suggested = name.map(Into::into);
        self
    }

    pub(super) fn typed(mut self, ty: ParamType) -> Self {
        self.ty = Some(ty);
        self
    }

    /// Several inputs are one parameter by their name, so there has to be one.
    pub(super) fn shared_name(&self, node: &Node) -> Option<String> {
        let [first, _, ..] = self.inputs.as_slice() else { return None };
        slug(&format!("{}_{}", self.suggested.as_deref().unwrap_or(first), node.id))
    }

    /// The candidate as the author wants it.
    pub(super) fn applied(
        &self,
        mut candidate: Candidate,
        name: Option<String>,
        node: &Node,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Candidate {
        candidate.declared = name;
        candidate.suggested = self.suggested.as_deref().and_then(slug).or(candidate.suggested);
        candidate.settled = true;
        candidate.put(self.tier, self.signal);
        candidate.description = self.description.as_deref().and_then(description);
        let ty = self.ty.unwrap_or(candidate.ty);
        if let Some(value) = &self.value {
            candidate.value = value.clone();
        }
        if ty != candidate.ty || self.value.is_some() {
            types::retype(&mut candidate, ty);
        }
        if let Some(encoding) = self.encoding {
            candidate.encoding = Some(encoding);
        }
        self.options_on(&mut candidate);
        self.range.apply(&mut candidate, node, diagnostics);
        self.requirement(&mut candidate, node, diagnostics);
        candidate
    }

    fn options_on(&self, candidate: &mut Candidate) {
        if self.options.is_empty() {
            return;
        }
        candidate.own_options = true;
        candidate.options.clone_from(&self.options);
        let member = candidate.default.as_ref().is_some_and(|default| self.options.contains(default));
        candidate.open = !member;
        candidate.ty = if member { ParamType::Enum } else { ParamType::String };
    }

    fn requirement(&self, candidate: &mut Candidate, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
        if candidate.ty == ParamType::Seed {
            if self.required == Some(true) {
                diagnostics.push(
                    Diagnostic::warning("bad-tag", "a seed is never required: left out, it is drawn")
                        .at_node(&node.id, node.title.as_deref())
                        .at_input(&candidate.input)
                        .help("remove the mark that makes it required"),
                );
            }
            return;
        }
        let required = self.required.unwrap_or(candidate.ty.is_media());
        candidate.required = required || candidate.default.is_none();
        candidate.insisted = self.required;
        if candidate.required {
            candidate.default = None;
        }
    }
}

/// One line for callers, whatever was typed into the node.
fn description(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then(|| printable(&line))
}

/// What a text stands for where a tool keeps every value as text.
pub(super) fn from_text(text: &str) -> Value {
    match text.trim() {
        "true" | "True" => Value::Bool(true),
        "false" | "False" => Value::Bool(false),
        plain => Number::parse(plain).map_or_else(|| Value::from(text), Value::Number),
    }
}
