//! Numbers at the edges of what a parameter may be: taken exactly, or refused under their name.

use comfyport_endpoint::{DecodeLimits, Endpoint, Faults, Field, Held, Kind};
use fastrand::Rng;
use serde_json::{Map, Number, Value, json};

use crate::{mutate, request};

/// A value that is in order.
fn good(field: &Field) -> Value {
    match &field.kind {
        Kind::Text { .. } | Kind::Suggest { .. } => json!("x"),
        Kind::Boolean => json!(false),
        Kind::Integer { min, .. } => json!(i64::try_from(*min).unwrap()),
        Kind::Float { min, .. } => json!(min),
        Kind::Choice { options } => json!(options[0].to_string()),
        Kind::NumberChoice { options } => json!(options[0]),
        Kind::Seed { .. } => json!(1),
        Kind::Model { .. } => json!("model.safetensors"),
        Kind::Loras { .. } => json!([]),
        Kind::Media { .. } => json!("data:image/png;base64,aGVsbG8="),
    }
}

fn number(random: &mut Rng, min: f64, max: f64) -> Number {
    let edge = if random.bool() { min } else { max };
    let text = match random.u8(..9) {
        0 => (edge as i128).to_string(),
        1 => (edge as i128 + i128::from(random.i8(-2..=2))).to_string(),
        2 => random.u64(..).to_string(),
        3 => random.i64(..).to_string(),
        4 => ((1_u64 << 53) + u64::from(random.u8(..))).to_string(),
        5 => u64::MAX.to_string(),
        6 => format!("{}", edge + f64::from(random.i8(..)) / 4.0),
        7 => format!("{:e}", random.f64() * 10_f64.powi(random.i32(-300..300))),
        _ => format!("{}", min.max(-1e6) + random.f64() * (max.min(1e6) - min.max(-1e6))),
    };
    serde_json::from_str(&text).unwrap_or_else(|_| Number::from(0))
}

/// Its whole value: `5e3` is a whole number like `5000`, as JSON Schema says, as far as doubles are exact.
fn whole(value: &Number) -> Option<i128> {
    let exact = |value: f64| value.fract() == 0.0 && value.abs() <= (1_u64 << 53) as f64;
    value.as_i128().or_else(|| value.as_f64().filter(|value| exact(*value)).map(|value| value as i128))
}

/// Whether the field takes it.
fn may_be(field: &Field, value: &Number) -> bool {
    let whole = whole(value);
    match &field.kind {
        Kind::Integer { min, max } => whole.is_some_and(|whole| (*min..=*max).contains(&whole)),
        Kind::Seed { min, max } => {
            whole.is_some_and(|whole| (i128::from(*min)..=i128::from(*max)).contains(&whole))
        }
        Kind::Float { min, max } => value.as_f64().is_some_and(|value| (*min..=*max).contains(&value)),
        _ => unreachable!("no number"),
    }
}

fn bounds(field: &Field) -> Option<(f64, f64)> {
    match &field.kind {
        Kind::Integer { min, max } => Some((*min as f64, *max as f64)),
        Kind::Seed { min, max } => Some((*min as f64, *max as f64)),
        Kind::Float { min, max } => Some((*min, *max)),
        _ => None,
    }
}

/// A number of a request to some workflow, its value and its name.
fn choose(random: &mut Rng) -> (&'static Endpoint, &'static Field, bool, Number) {
    loop {
        let endpoint = request::endpoint(random);
        let advanced = random.bool();
        let fields = if advanced { &endpoint.advanced } else { &endpoint.fields };
        let Some(field) = mutate::one(fields, random) else { continue };
        // What is derived, such as megapixels, is told as what came of it.
        let is_of_a_node = !field.at.is_empty();
        if let Some((min, max)) = bounds(field).filter(|_| is_of_a_node) {
            return (endpoint, field, advanced, number(random, min, max));
        }
    }
}

pub(crate) fn run(random: &mut Rng) -> bool {
    let (endpoint, field, advanced, value) = choose(random);
    let required = endpoint.fields.iter().filter(|field| field.required);
    let mut members: Map<String, Value> =
        required.map(|field| (field.name.to_string(), good(field))).collect();
    let name = field.name.to_string();
    if advanced {
        members.insert("advanced".to_owned(), json!({&name: value}));
    } else {
        members.insert(name.clone(), value.clone().into());
    }
    let body = serde_json::to_vec(&members).unwrap();
    let shown = || format!("{} {name} {value}", endpoint.path);
    match Held::Static(endpoint).read_json(&body, &DecodeLimits::default()).finish() {
        Ok(mut decoded) => {
            assert!(may_be(field, &value), "taken: {}", shown());
            decoded.draw_seeds(&mut || 7);
            let mut params = Vec::new();
            decoded.write_params(&mut params);
            let params: Value = serde_json::from_slice(&params).unwrap();
            let told = if advanced { &params["advanced"][&name] } else { &params[&name] };
            let is_exact = match field.kind {
                // The library that reads them here is wrong about the last bit of some.
                Kind::Float { .. } => told
                    .as_f64()
                    .zip(value.as_f64())
                    .is_some_and(|(told, sent)| (told - sent).abs() <= sent.abs() * 4.0 * f64::EPSILON),
                _ => told.as_number().and_then(whole) == whole(&value),
            };
            assert!(is_exact, "told as {told}: {}", shown());
            true
        }
        Err(Faults(faults)) => {
            assert!(!may_be(field, &value), "refused: {} {faults:?}", shown());
            let pointer = if advanced { format!("/advanced/{name}") } else { format!("/{name}") };
            assert!(faults.iter().all(|fault| fault.pointer == pointer), "{} {faults:?}", shown());
            false
        }
    }
}
