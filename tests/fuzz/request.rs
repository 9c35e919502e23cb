//! Requests in JSON, to every workflow that is built in.

use comfyport_endpoint::{DecodeLimits, Decoded, Endpoint, Faults, Field, Held, Kind};
use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::mutate;

/// One workflow.
pub(crate) fn endpoint(random: &mut Rng) -> &'static Endpoint {
    mutate::one(comfyport_generated::endpoints(), random).unwrap()
}

/// A value that is right for a field, or nearly.
pub(crate) fn value(field: &Field, random: &mut Rng) -> Value {
    if random.u8(..12) == 0 {
        return odd(random);
    }
    match &field.kind {
        Kind::Text { .. } => mutate::text(random).into(),
        Kind::Integer { min, max } => {
            let (min, max) =
                (i64::try_from(*min).unwrap_or(i64::MIN), i64::try_from(*max).unwrap_or(i64::MAX));
            random.i64(min..=max).into()
        }
        Kind::Float { min, max } => (min.max(-1e9) + random.f64() * (max.min(1e9) - min.max(-1e9))).into(),
        Kind::Boolean => random.bool().into(),
        Kind::Choice { options } | Kind::Suggest { options } => {
            mutate::one(options, random).map_or(Value::Null, |option| option.to_string().into())
        }
        Kind::NumberChoice { options } => {
            mutate::one(options, random).map_or(Value::Null, |one| (*one).into())
        }
        Kind::Seed { min, max } => random.u64(*min..=*max).into(),
        Kind::Model { .. } => json!("model.safetensors"),
        Kind::Loras { .. } => {
            json!([{"name": "one.safetensors", "strength": random.f64()}, "two.safetensors"])
        }
        Kind::Media { .. } => match random.u8(..4) {
            0 => json!({"url": "https://example.com/a.png", "resize": {"width": random.u16(..)}}),
            1 => json!({"data": "aGVsbG8="}),
            2 => json!("data:image/png;base64,aGVsbG8="),
            _ => json!("https://example.com/a.png"),
        },
    }
}

/// Any value.
fn odd(random: &mut Rng) -> Value {
    match random.u8(..9) {
        0 => Value::Null,
        1 => random.bool().into(),
        2 => random.i64(..).into(),
        3 => random.u64(..).into(),
        4 => f64::from_bits(random.u64(..)).into(),
        5 => mutate::text(random).into(),
        6 => json!([odd(random)]),
        7 => json!({mutate::text(random): odd(random)}),
        _ => (0..random.usize(..100)).fold(Value::Null, |inner, _| json!([inner])),
    }
}

/// A request with what it must have, some of the rest, and now and then what nobody asks for.
fn members(endpoint: &Endpoint, random: &mut Rng) -> Map<String, Value> {
    let mut members = Map::new();
    for field in &endpoint.fields {
        if field.required || random.bool() {
            members.insert(field.name.to_string(), value(field, random));
        }
    }
    if !endpoint.advanced.is_empty() && random.bool() {
        let chosen = endpoint.advanced.iter().filter(|_| random.u8(..4) == 0).collect::<Vec<_>>();
        let advanced: Map<String, Value> =
            chosen.into_iter().map(|field| (field.name.to_string(), value(field, random))).collect();
        members.insert("advanced".to_owned(), advanced.into());
    }
    if random.u8(..8) == 0 {
        members.insert(mutate::text(random), odd(random));
    }
    members
}

/// What must hold of whatever was read.
pub(crate) fn judge(decoded: Result<Decoded, Faults>, limits: &DecodeLimits) -> bool {
    match decoded {
        Ok(mut decoded) => {
            decoded.draw_seeds(&mut || 7);
            let (mut prompt, mut params) = (Vec::new(), Vec::new());
            decoded.write_prompt("a/b", &mut prompt);
            decoded.write_params(&mut params);
            let prompt: Value = serde_json::from_slice(&prompt).expect("a prompt is JSON");
            let nodes = prompt.as_object().expect("a prompt is an object");
            assert!(
                !nodes.is_empty() && nodes.values().all(|node| node["class_type"].is_string()),
                "{prompt}"
            );
            assert!(serde_json::from_slice::<Value>(&params).unwrap().is_object());
            true
        }
        Err(Faults(faults)) => {
            assert!((1..=limits.faults + 1).contains(&faults.len()), "{} faults", faults.len());
            for fault in faults {
                assert!(fault.pointer.is_empty() || fault.pointer.starts_with('/'), "{:?}", fault.pointer);
                assert!(!fault.message.is_empty(), "{fault:?}");
                assert!(fault.message.len() < 2000, "{} bytes to say what is wrong", fault.message.len());
            }
            false
        }
    }
}

pub(crate) fn run(random: &mut Rng) -> bool {
    let endpoint = endpoint(random);
    let mut body = serde_json::to_vec(&members(endpoint, random)).unwrap();
    if random.u8(..3) == 0 {
        mutate::bytes(&mut body, random);
    }
    let limits =
        DecodeLimits { faults: random.usize(1..20), media_bytes: 1 << 20, ..DecodeLimits::default() };
    judge(Held::Static(endpoint).read_json(&body, &limits).finish(), &limits)
}
