//! Declarations that contradict each other.

use std::collections::BTreeMap;

use crate::{
    diagnostic::Diagnostic,
    endpoint::{ParamType, Tier},
    infer::{Context, candidate::Candidate},
};

/// One name is one parameter, set in every place that declares it: the places must agree on what it is.
pub(super) fn check(context: &Context<'_>, candidates: &mut [Candidate], diagnostics: &mut Vec<Diagnostic>) {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for index in 0..candidates.len() {
        let candidate = &candidates[index];
        let Some(name) = candidate.declared.clone().filter(|_| candidate.tier != Tier::Hidden) else {
            continue;
        };
        let Some(known) = first.get(&name).copied() else {
            first.insert(name, index);
            continue;
        };
        let Some(what) = difference(&candidates[known], candidate) else { continue };
        diagnostics.push(conflict(context, &name, &candidates[known], candidate, &what));
    }
}

fn difference(one: &Candidate, two: &Candidate) -> Option<String> {
    if one.ty != two.ty {
        return Some(format!("as {} and as {}", one.ty.as_str(), two.ty.as_str()));
    }
    let counts = |ty: ParamType| !ty.is_media() && ty != ParamType::Seed;
    if let (Some(left), Some(right)) = (&one.default, &two.default)
        && left != right
        && counts(one.ty)
    {
        let shown = |value: &crate::json::Value| crate::diagnostic::printable(&value.to_json());
        return Some(format!("with the value {} and with {}", shown(left), shown(right)));
    }
    if one.tier != two.tier {
        return Some("for two places of the request".to_owned());
    }
    let apart = |low: &Candidate, high: &Candidate| match (&low.max, &high.min) {
        (Some(max), Some(min)) => max.as_f64() < min.as_f64(),
        _ => false,
    };
    (apart(one, two) || apart(two, one)).then(|| "with ranges that have no value in common".to_owned())
}

fn conflict(context: &Context<'_>, name: &str, one: &Candidate, two: &Candidate, what: &str) -> Diagnostic {
    let title = context.graph.node(&two.node).and_then(|node| node.title.as_deref());
    let message = format!(
        "`{name}` is declared twice, {what}: {}.{} and {}.{}",
        one.node, one.input, two.node, two.input
    );
    Diagnostic::error("conflicting-declarations", message)
        .at_node(&two.node, title)
        .at_input(&two.input)
        .help(format!("make both alike, or call one of them something else, such as `{name}_b`"))
}
