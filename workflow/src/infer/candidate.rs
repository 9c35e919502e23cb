//! A literal on its way to becoming a parameter.

use crate::{
    endpoint::{Binding, ParamType, Tier},
    graph::NodeId,
    json::{Number, Value},
};

/// One literal of the graph and what has been found out about it.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    pub(super) input: String,
    pub(super) class_type: String,
    pub(super) value: Value,
    pub(super) ty: ParamType,
    pub(super) tier: Tier,
    pub(super) role: Option<&'static str>,
    /// A name that the author wrote down.
    pub(super) declared: Option<String>,
    /// Whether the author decided, so that inference leaves its place and its default alone.
    pub(super) settled: bool,
    /// Whether the author listed the options, rather than the class.
    pub(super) own_options: bool,
    /// What the author says about it.
    pub(super) description: Option<String>,
    /// A name that follows from the meaning.
    pub(super) suggested: Option<String>,
    pub(super) required: bool,
    /// What the author says about whether callers must give it.
    pub(super) insisted: Option<bool>,
    pub(super) default: Option<Value>,
    pub(super) min: Option<Number>,
    pub(super) max: Option<Number>,
    pub(super) step: Option<Number>,
    pub(super) options: Vec<Value>,
    pub(super) open: bool,
    pub(super) multiline: bool,
    /// Whether it takes effect only where another value is changed too.
    pub(super) idle: bool,
    pub(super) encoding: Option<&'static str>,
    pub(super) folder: Option<String>,
    pub(super) signal: String,
}

impl Candidate {
    pub(super) fn binding(&self) -> Binding {
        Binding { node: self.node.clone(), input: self.input.clone(), class_type: self.class_type.clone() }
    }

    /// Decides the tier and says why.
    pub(super) fn put(&mut self, tier: Tier, signal: impl Into<String>) {
        self.tier = tier;
        self.signal = signal.into();
    }

    pub(super) fn is(&self, role: &str) -> bool {
        self.role == Some(role)
    }

    /// Text whose meaning is still open.
    pub(super) fn is_free_text(&self) -> bool {
        self.ty == ParamType::String && self.tier != Tier::Hidden && self.tier != Tier::Model && !self.open
    }
}
