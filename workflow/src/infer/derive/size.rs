//! `aspect_ratio` and `megapixels`: a shape and an area instead of a width and a height.
//!
//! Holds where one width and one height are fields of the request and belong to the same nodes, whose classes say which
//! numbers they take. Width and height stay where they are: people think in those too.

use std::collections::BTreeSet;

use super::{Deriving, field, number, rounded, steps};
use crate::{
    endpoint::{Binding, Derived, Endpoint, Param, ParamType, Tier},
    graph::NodeId,
    json::{Number, Value},
    rules::{Rule, Steps},
};

/// Shapes that people ask for; any other ratio is taken too.
const RATIOS: &[&str] = &["1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16", "21:9"];

pub(super) fn offer(endpoint: &mut Endpoint, with: &Deriving<'_>) -> Option<()> {
    let (wide, high) = (side(endpoint, "width")?, side(endpoint, "height")?);
    let nodes = |param: &Param| -> BTreeSet<NodeId> {
        param.bindings.iter().map(|binding| binding.node.clone()).collect()
    };
    let (width, height) = (wide.bindings.first()?, high.bindings.first()?);
    if nodes(wide) != nodes(high) || wide.required || high.required {
        return None;
    }
    let widths = aligned(steps(wide, 1)?, strictest(with, wide)?);
    let heights = aligned(steps(high, 1)?, strictest(with, high)?);
    let (default_width, default_height) = (number(wide.default.as_ref())?, number(high.default.as_ref())?);
    if default_width < 1.0 || default_height < 1.0 {
        return None;
    }
    let (width, height) = (width.clone(), height.clone());
    let bindings: Vec<Binding> = wide.bindings.iter().chain(&high.bindings).cloned().collect();
    let snapped = if widths.step > 1 { format!(", in steps of {}", widths.step) } else { String::new() };

    let mut ratio = field("aspect_ratio", Derived::AspectRatio, ParamType::String, &bindings);
    ratio.default = Some(Value::from(shape(default_width, default_height).as_str()));
    ratio.options = RATIOS.iter().map(|ratio| Value::from(*ratio)).collect();
    ratio.open = true;
    ratio.description =
        Some(format!("The shape of the result, width to height, such as 16:9; sets both{snapped}."));
    "width and height".clone_into(&mut ratio.signal);

    let mut area = field("megapixels", Derived::Megapixels, ParamType::Number, &bindings);
    area.default = Some(Value::Number(rounded(default_width * default_height / MEGAPIXEL, 3)));
    area.min = Some(Number::from_i128(0));
    area.max = Some(rounded(greatest(widths) * greatest(heights) / MEGAPIXEL, 3));
    area.unit = Some("units of 1024 × 1024 pixels".to_owned());
    area.description =
        Some("The area of the result; sets width and height, in the shape asked for.".to_owned());
    "width and height".clone_into(&mut area.signal);

    // One without the other would be half a rule.
    let before = (endpoint.params.len(), endpoint.diagnostics.len());
    let offered = with.offer(endpoint, ratio).zip(with.offer(endpoint, area));
    let Some((aspect_ratio, megapixels)) = offered else {
        endpoint.params.truncate(before.0);
        return None;
    };
    endpoint.rules.push(Rule::Size { aspect_ratio, megapixels, width, widths, height, heights });
    Some(())
}

/// The only side that is a field of the request.
fn side<'e>(endpoint: &'e Endpoint, role: &str) -> Option<&'e Param> {
    let mut sides = endpoint.tier(Tier::Primary).filter(|param| param.role.as_deref() == Some(role));
    let first = sides.next()?;
    sides.next().is_none().then_some(first)
}

/// The step that suits every node that a side is set for.
fn strictest(with: &Deriving<'_>, side: &Param) -> Option<i64> {
    let step = |binding: &Binding| {
        let input = with.catalog.get(&binding.class_type)?.input(&binding.input)?;
        Some(input.step.as_ref().and_then(Number::as_i64).unwrap_or(1).max(1))
    };
    let steps: Option<Vec<i64>> = side.bindings.iter().map(step).collect();
    let greatest = steps.as_ref()?.iter().max().copied()?;
    steps?.iter().all(|step| greatest % step == 0).then_some(greatest)
}

/// Sides are multiples of the step, also where the class has a lesser least value.
fn aligned(steps: Steps, step: i64) -> Steps {
    Steps { first: (steps.first + step - 1) / step * step, step, ..steps }
}

/// As nodes count it: `ImageScaleToTotalPixels` takes 1 to be 1024 × 1024.
const MEGAPIXEL: f64 = 1024.0 * 1024.0;

#[expect(clippy::cast_precision_loss, reason = "numbers of pixels are small")]
fn greatest(steps: Steps) -> f64 {
    steps.last as f64
}

/// A ratio in whole numbers, in lowest terms.
fn shape(width: f64, height: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers of pixels")]
    let (width, height) = (width as u64, height as u64);
    let (mut a, mut b) = (width, height);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    format!("{}:{}", width / a.max(1), height / a.max(1))
}
