//! What we sign is accepted by whoever checks it with a public library, and nothing else is.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_server::webhooks::Keys;
use fastrand::Rng;
use standardwebhooks::Webhook;

use crate::mutate;

/// A secret, as operators write it.
fn secret(random: &mut Rng) -> String {
    let bytes: Vec<u8> = (0..random.usize(24..=64)).map(|_| random.u8(..)).collect();
    format!("whsec_{}", STANDARD.encode(bytes))
}

/// The key that a secret is. HMAC fills keys up with zeros: with or without zeros at its end, it is the same key.
fn key(secret: &str) -> Vec<u8> {
    let mut bytes = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
    bytes
}

fn is_accepted(secret: &str, id: &str, timestamp: &str, signature: &str, body: &[u8]) -> bool {
    let mut headers = http::HeaderMap::new();
    for (name, value) in
        [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
    {
        let Ok(value) = http::HeaderValue::from_str(value) else { return false };
        headers.insert(name, value);
    }
    Webhook::new(secret).unwrap().verify(body, &headers).is_ok()
}

pub(crate) fn run(random: &mut Rng) -> bool {
    let secrets: Vec<String> = (0..random.usize(1..4)).map(|_| secret(random)).collect();
    let keys = Keys::read(secrets.iter().map(String::as_str)).unwrap();
    let (id, timestamp) = (format!("msg_{}", random.u64(..)), jiff::Timestamp::now().as_second().to_string());
    let body = mutate::text(random);
    let signature = keys.sign(&id, timestamp.parse().unwrap(), &body);
    let known = mutate::one(&secrets, random).unwrap();
    assert!(
        is_accepted(known, &id, &timestamp, &signature, body.as_bytes()),
        "refused by who knows a secret"
    );
    assert!(
        !is_accepted(&secret(random), &id, &timestamp, &signature, body.as_bytes()),
        "accepted by who knows none"
    );

    // A secret that was typed badly is read or refused, and what it signs is not taken for the other's.
    let mut typed = known.clone().into_bytes();
    mutate::bytes(&mut typed, random);
    let typed = String::from_utf8_lossy(&typed).into_owned();
    if let Ok(others) = Keys::read([typed.as_str()]) {
        let theirs = others.sign(&id, timestamp.parse().unwrap(), &body);
        let is_same = key(&typed) == key(known);
        assert_eq!(is_accepted(known, &id, &timestamp, &theirs, body.as_bytes()), is_same, "{typed}");
    }

    let (mut id_2, mut timestamp_2, mut body_2) =
        (id.clone().into_bytes(), timestamp.clone().into_bytes(), body.clone().into_bytes());
    let part = match random.u8(..4) {
        0 => &mut id_2,
        1 => &mut timestamp_2,
        2 => &mut body_2,
        _ => return true,
    };
    mutate::bytes(part, random);
    let (id_2, timestamp_2) = (String::from_utf8_lossy(&id_2), String::from_utf8_lossy(&timestamp_2));
    let is_same =
        id_2 == id && timestamp_2.parse::<i64>().ok() == timestamp.parse().ok() && body_2 == body.as_bytes();
    assert_eq!(
        is_accepted(known, &id_2, &timestamp_2, &signature, &body_2),
        is_same,
        "{id_2:?} {timestamp_2:?}"
    );
    is_same
}
