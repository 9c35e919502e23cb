//! The smallest instance of a workflow: few steps, a small size, one of everything.

use comfyport_endpoint::{Endpoint, Field, Kind, Place, Rule, Steps};
use serde_json::{Map, Value, json};

/// Pixels along a side. Models cannot make much less, whatever their nodes take.
const SIDE: i64 = 256;

/// Steps of samplers. Some divide by one less.
const FEW: i64 = 2;

/// A request that loads what a workflow needs and costs as little as it may. `None` where it wants a file that nobody
/// could make up.
pub(super) fn request(endpoint: &Endpoint) -> Option<Value> {
    let document: Value = serde_json::from_str(&endpoint.openapi).ok()?;
    let operation = &document["paths"][format!("/{}", endpoint.path)]["post"];
    let examples = &operation["requestBody"]["content"]["application/json"]["examples"];
    let mut request = examples["minimal"]["value"].as_object()?.clone();
    let mut advanced = match request.remove("advanced") {
        Some(Value::Object(advanced)) => advanced,
        _ => Map::new(),
    };
    lower(&mut request, &endpoint.fields, |index| steps(endpoint, Place::Field(index)));
    lower(&mut advanced, &endpoint.advanced, |index| steps(endpoint, Place::Advanced(index)));
    if !advanced.is_empty() {
        request.insert("advanced".to_owned(), advanced.into());
    }
    Some(request.into())
}

/// Sets what costs time to as little as it may be, unless it is less by itself.
fn lower(request: &mut Map<String, Value>, fields: &[Field], steps: impl Fn(u16) -> Option<Wanted>) {
    for (index, field) in (0..).zip(fields) {
        let Some(wanted) = steps(index).or_else(|| Wanted::by_role(field)) else { continue };
        let usual = field.default.as_deref().and_then(|text| text.parse::<f64>().ok());
        let Some(value) = wanted.within(&field.kind) else { continue };
        if usual.is_none_or(|usual| value < usual) {
            request.insert(field.name.to_string(), number(&field.kind, value));
        }
    }
}

/// What a number should be, and which numbers there are.
struct Wanted {
    value: i64,
    steps: Option<Steps>,
}

impl Wanted {
    fn by_role(field: &Field) -> Option<Self> {
        let value = match field.role.as_deref()? {
            "steps" => FEW,
            "width" | "height" => SIDE,
            "batch_size" | "length" | "seconds" => 1,
            _ => return None,
        };
        Some(Self { value, steps: None })
    }

    /// The least that is enough.
    fn within(&self, kind: &Kind) -> Option<f64> {
        let stepped = self.steps.map_or(self.value, |Steps { first, step, last }| {
            let step = step.max(1);
            let above = (self.value - first).max(0);
            // Rounded up to where the node has its numbers.
            let count = above / step + i64::from(above % step != 0);
            (first + count * step).min(last)
        });
        match kind {
            Kind::Integer { min, max } => {
                let value = i128::from(stepped).clamp(*min, (*max).max(*min));
                Some(value as f64)
            }
            Kind::Float { min, max } => Some((stepped as f64).max(*min).min(*max)),
            _ => None,
        }
    }
}

fn number(kind: &Kind, value: f64) -> Value {
    match kind {
        #[expect(clippy::cast_possible_truncation, reason = "it was whole")]
        Kind::Integer { .. } => json!(value as i64),
        _ => json!(value),
    }
}

/// What the rules of an endpoint say of a number: sizes and frames come in steps.
fn steps(endpoint: &Endpoint, place: Place) -> Option<Wanted> {
    endpoint.rules.iter().find_map(|rule| match *rule {
        Rule::Size { width, widths, .. } if width == place => {
            Some(Wanted { value: SIDE, steps: Some(widths) })
        }
        Rule::Size { height, heights, .. } if height == place => {
            Some(Wanted { value: SIDE, steps: Some(heights) })
        }
        // One more than the least: a film has more than one picture.
        Rule::Duration { frames, steps, .. } if frames == place => {
            Some(Wanted { value: steps.first + 1, steps: Some(steps) })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_on_the_steps_of_their_nodes() {
        let sizes = Steps { first: 16, step: 48, last: 4096 };
        let of = |value, steps, kind: &Kind| Wanted { value, steps }.within(kind).unwrap();
        let any = Kind::Integer { min: 16, max: 4096 };
        assert!((of(256, Some(sizes), &any) - 256.0).abs() < f64::EPSILON, "16 + 5 × 48");
        assert!((of(250, Some(sizes), &any) - 256.0).abs() < f64::EPSILON);
        assert!((of(1, Some(sizes), &any) - 16.0).abs() < f64::EPSILON);
        assert!((of(9999, Some(sizes), &any) - 4096.0).abs() < f64::EPSILON);
        assert!((of(2, None, &Kind::Integer { min: 4, max: 8 }) - 4.0).abs() < f64::EPSILON);
        assert!((of(1, None, &Kind::Float { min: 0.0, max: 0.5 }) - 0.5).abs() < f64::EPSILON);
        assert!(Wanted { value: 1, steps: None }.within(&Kind::Boolean).is_none());
    }
}
