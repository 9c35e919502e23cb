//! Least and greatest values that an author wrote down.

use crate::{
    diagnostic::Diagnostic,
    endpoint::ParamType,
    graph::Node,
    infer::candidate::Candidate,
    json::{Number, Value},
};

/// Bounds; none of them need be given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Range {
    pub(super) min: Option<Number>,
    pub(super) max: Option<Number>,
    pub(super) step: Option<Number>,
}

impl Range {
    /// From inputs of a node. `limit` is where the editor's own defaults mean that there is no bound.
    pub(super) fn of_node(node: &Node, min: &str, max: &str, limit: f64) -> Self {
        let number = |input: &str| {
            let number = node.literal(input).and_then(Value::as_number)?;
            (number.is_finite() && number.as_f64().abs() < limit).then(|| number.clone())
        };
        let step = number("step").filter(|step| step.as_f64() > 0.0);
        Self { min: number(min), max: number(max), step }
    }

    fn is_empty(&self) -> bool {
        self.min.is_none() && self.max.is_none() && self.step.is_none()
    }

    /// Narrows a number to the bounds. Bounds that its own value does not keep to are left out.
    pub(super) fn apply(&self, candidate: &mut Candidate, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
        if self.is_empty() {
            return;
        }
        let mut report = |found: Diagnostic| {
            diagnostics.push(found.at_node(&node.id, node.title.as_deref()).at_input(&candidate.input));
        };
        let whole = match candidate.ty {
            ParamType::Integer | ParamType::Seed => true,
            ParamType::Number => false,
            other => {
                let message = format!("a range is for numbers, and this is a {}", other.as_str());
                return report(Diagnostic::error("bad-range", message).help("remove the range"));
            }
        };
        let (min, max) =
            (bound(self.min.as_ref(), whole, f64::ceil), bound(self.max.as_ref(), whole, f64::floor));
        if let (Some(least), Some(most)) = (&min, &max)
            && least.as_f64() > most.as_f64()
        {
            let message = format!("the least value {least} is above the greatest value {most}");
            return report(Diagnostic::error("bad-range", message).help(format!("write {most} to {least}")));
        }
        let value = candidate.default.as_ref().and_then(Value::as_f64);
        let outside = value.filter(|value| {
            min.as_ref().is_some_and(|min| *value < min.as_f64())
                || max.as_ref().is_some_and(|max| *value > max.as_f64())
        });
        if let Some(value) = outside {
            let message =
                format!("the workflow's own value {value} is outside the range that is declared for it");
            let help = "the range is left out; change the value in the workflow, or the range";
            return report(Diagnostic::warning("bad-range", message).help(help));
        }
        candidate.min = min.or_else(|| candidate.min.take());
        candidate.max = max.or_else(|| candidate.max.take());
        candidate.step = self.step.clone().or_else(|| candidate.step.take());
    }
}

/// A bound of a whole number is a whole number.
fn bound(number: Option<&Number>, whole: bool, inward: fn(f64) -> f64) -> Option<Number> {
    let number = number?;
    if !whole || number.is_integer() {
        return Some(number.clone());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, which is what a bound beyond all values means"
    )]
    let rounded = inward(number.as_f64()) as i128;
    Some(Number::from_i128(rounded))
}
