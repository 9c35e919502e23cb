//! In which order callers meet parameters.

use std::collections::BTreeMap;

use crate::endpoint::Param;

/// The most prominent first; what is equally prominent stays as it is, but files of one name come in the order of their
/// numbers.
pub(super) fn sort(params: &mut [Param]) {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (place, param) in params.iter().enumerate().filter(|(_, param)| param.ty.is_media()) {
        places.entry(numbered(&param.name).0.to_owned()).or_insert(place);
    }
    params.sort_by_cached_key(|param| {
        let (stem, number) = numbered(&param.name);
        let place = if param.ty.is_media() { places.get(stem).copied() } else { None };
        let media = place.map(|place| (place, number));
        (param.tier, prominence(param), param.name != "prompt", media)
    });
}

/// `image_2` is the second `image`.
fn numbered(name: &str) -> (&str, usize) {
    let parts = name.rsplit_once('_').and_then(|(stem, number)| Some((stem, number.parse().ok()?)));
    parts.unwrap_or((name, 1))
}

/// What callers look for first: what to make, from what, how large, and then how.
fn prominence(param: &Param) -> usize {
    const ORDER: &[&str] = &[
        "prompt",
        "tags",
        "lyrics",
        "negative_prompt",
        "segment_prompt",
        "detect_prompt",
        "qr_text",
        "overlay_text",
        "aspect_ratio",
        "megapixels",
        "width",
        "height",
        "duration_s",
        "length",
        "num_frames",
        "fps",
        "seconds",
        "duration",
        "count",
        "seed",
        "steps",
        "cfg",
        "guidance",
        "denoise",
    ];
    if param.ty.is_media() {
        return 4;
    }
    let rank = param.role.as_deref().and_then(|role| ORDER.iter().position(|known| *known == role));
    rank.map_or(ORDER.len() + 1, |rank| if rank < 4 { rank } else { rank + 1 })
}
