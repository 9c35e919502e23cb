//! `duration_s`: seconds instead of frames.
//!
//! Holds where one value is the number of frames, its class says which numbers there are (`4n + 1` follows from a
//! least value and a step), and the frames reach one output at one rate, without a node in between that makes more or
//! fewer of them.

use super::{Deriving, field, number, only, rounded, steps};
use crate::{
    endpoint::{Binding, Derived, Endpoint, ParamType},
    graph::Node,
    json::{Number, Value},
    rules::{Rate, Rule},
};

/// Inputs that are frames a second.
const RATES: &[&str] = &["fps", "frame_rate"];
/// Words in classes that change how many frames there are.
const CHANGES_FRAMES: &[&str] = &[
    "interpol",
    "vfi",
    "rife",
    "film",
    "repeat",
    "trim",
    "select",
    "split",
    "slice",
    "frombatch",
    "concat",
    "merge",
    "imagebatch",
    "loop",
    "pingpong",
    "extend",
    "prepend",
    "append",
    "duplicate",
    "skip",
];

pub(super) fn offer(endpoint: &mut Endpoint, with: &Deriving<'_>) -> Option<()> {
    let param = only(endpoint, &["length", "num_frames"])?;
    let [frames] = param.bindings.as_slice() else { return None };
    let steps = steps(param, 1)?;
    let shown = rate(endpoint, &frames.node)?;
    let default = number(param.default.as_ref())?;
    let fps = match &shown {
        Rate::Constant(fps) => *fps,
        Rate::Input(binding) => number(endpoint.graph.node(&binding.node)?.literal(&binding.input))?,
    };
    if !(fps > 0.0 && fps <= 1000.0) || default < 1.0 {
        return None;
    }
    let frames = frames.clone();
    let mut derived =
        field("duration_s", Derived::Duration, ParamType::Number, std::slice::from_ref(&frames));
    derived.default = Some(Value::Number(rounded(default / fps, 3)));
    // The range is of frames; what it is in seconds depends on the rate, so the field itself only refuses nonsense.
    derived.min = Some(Number::from_i128(0));
    derived.max = rate_bound(endpoint, &shown, steps.last, fps);
    derived.unit = Some("seconds".to_owned());
    derived.description = Some(format!(
        "How long the result lasts; becomes the nearest number of frames that the model makes{}.",
        if steps.step > 1 {
            format!(" ({}n + {})", steps.step, steps.first.rem_euclid(steps.step))
        } else {
            String::new()
        }
    ));
    derived.signal = format!("frames at {fps} a second");
    let duration = with.offer(endpoint, derived)?;
    with.step_back(endpoint, &frames);
    endpoint.rules.push(Rule::Duration { duration, frames, rate: shown, steps });
    Some(())
}

/// The longest result, at the slowest rate that callers can set.
fn rate_bound(endpoint: &Endpoint, rate: &Rate, last: i64, fps: f64) -> Option<Number> {
    let slowest = match rate {
        Rate::Constant(_) => fps,
        Rate::Input(binding) => {
            let param = endpoint.params.iter().find(|param| param.sets().contains(binding))?;
            number(param.min.clone().map(Value::Number).as_ref()).filter(|min| *min > 0.0)?
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "numbers of frames are small")]
    Some(rounded(last as f64 / slowest, 3))
}

/// The one rate at which what a node makes is shown.
fn rate(endpoint: &Endpoint, maker: &str) -> Option<Rate> {
    let graph = &endpoint.graph;
    let after = |node: &Node| graph.ancestors([node.id.as_str()]).contains(maker);
    // A maker's own rate conditions the model; it is not what the result is shown at.
    let shows = |node: &&Node| {
        RATES.iter().any(|input| node.inputs.contains_key(*input)) && node.id != maker && after(node)
    };
    let showing: Vec<&Node> = graph.nodes.values().filter(shows).collect();
    let mut rates: Vec<Rate> = Vec::new();
    for node in &showing {
        let input = RATES.iter().find(|input| node.inputs.contains_key(**input))?;
        let rate = rate_of(endpoint, node, input)?;
        if !rates.contains(&rate) {
            rates.push(rate);
        }
        // Nothing on the way changes the number of frames.
        let before = graph.ancestors([node.id.as_str()]);
        let between =
            before.iter().filter_map(|id| graph.node(id)).filter(|node| node.id != maker && after(node));
        let odd = between.map(|node| node.class_type.to_lowercase());
        if odd.into_iter().any(|class| CHANGES_FRAMES.iter().any(|word| class.contains(word))) {
            return None;
        }
    }
    let mut rates = rates.into_iter();
    let only = rates.next()?;
    rates.next().is_none().then_some(only)
}

/// Where the rate of a node comes from: the value itself, or a node that holds a value and nothing else.
fn rate_of(endpoint: &Endpoint, node: &Node, input: &str) -> Option<Rate> {
    let (node, input) = match node.link(input) {
        None => (node, input),
        Some(link) => {
            let source = endpoint.graph.node(&link.node)?;
            let mut values = source.literals();
            let (name, _) = values.next()?;
            if values.next().is_some() || source.links().next().is_some() {
                return None;
            }
            (source, name)
        }
    };
    let value = number(node.literal(input))?;
    let binding =
        Binding { node: node.id.clone(), input: input.to_owned(), class_type: node.class_type.clone() };
    Some(if endpoint.place(&binding).is_some() { Rate::Input(binding) } else { Rate::Constant(value) })
}
