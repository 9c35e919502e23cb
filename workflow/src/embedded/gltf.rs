//! GLB: a chunk of JSON whose `asset.extras` holds the texts.

use super::{bytes::Bytes, texts::Texts};
use crate::json::{self, Value};

pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"glTF")
}

pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let mut bytes = Bytes::new(bytes.get(12..)?);
    let length = bytes.u32_le()?;
    if bytes.take(4)? != b"JSON" {
        return None;
    }
    let document = json::parse(bytes.take(length)?).ok()?.value;
    let of_asset = document.get("asset").and_then(|asset| asset.get("extras"));
    for extras in of_asset.into_iter().chain(document.get("extras")) {
        members(extras, texts);
    }
    Some(())
}

/// Texts that hold JSON, or the JSON itself.
pub(super) fn members(value: &Value, texts: &mut Texts) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_json(), str::to_owned);
        texts.add(key.as_bytes(), text);
    }
}
