//! The form of answer a caller asks for.

use comfyport_endpoint::OutputKind;
use comfyport_pictures::Codec;

/// How a run is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// One JSON document at the end.
    Json,
    /// Events as they happen, the result last.
    Events,
    /// The bytes of the first output of one of these types, the most wanted first.
    Bytes(Vec<Wanted>),
    /// All files and the JSON document in one archive.
    Zip,
}

/// A media type that a caller accepts: `image/png` or `image/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    family: String,
    subtype: Option<String>,
    /// In thousandths.
    quality: u32,
}

impl Wanted {
    /// Whether a content type is of this kind.
    pub fn matches(&self, content_type: &str) -> bool {
        let plain = content_type.split(';').next().unwrap_or_default().trim();
        plain.split_once('/').is_some_and(|(family, subtype)| {
            (self.family == "*" || family.eq_ignore_ascii_case(&self.family))
                && self.subtype.as_deref().is_none_or(|wanted| subtype.eq_ignore_ascii_case(wanted))
        })
    }

    /// Whether an output can have this type, as far as can be told before it exists.
    pub fn could_match(&self, kind: OutputKind, class_type: &str) -> bool {
        let family = match kind {
            OutputKind::Image => "image",
            // Films are also written as animated pictures.
            OutputKind::Video => return matches!(self.family.as_str(), "video" | "image"),
            OutputKind::Audio => "audio",
            OutputKind::Model3d => "model",
            OutputKind::Text | OutputKind::Latent | OutputKind::File => return false,
        };
        // The plain nodes write PNG and nothing else, so a run for a type that cannot be made of it would be in vain.
        let known =
            matches!(class_type, "SaveImage" | "PreviewImage" | "SaveImageWebsocket").then_some("image/png");
        let fits = known.is_none_or(|known| self.matches(known) || self.codec().is_some());
        self.family == family && fits
    }

    /// The format that a still picture can be converted to, if it is exactly one.
    fn codec(&self) -> Option<Codec> {
        Codec::named(self.subtype.as_deref()?).filter(|_| self.family == "image")
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.family, self.subtype.as_deref().unwrap_or("*"))
    }
}

/// What is given to somebody of several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<'t, T> {
    /// One as it is.
    Stored(&'t T),
    /// One made another.
    Made(&'t T, Codec),
}

/// The first thing that is wanted the most. What is there already goes before what would have to be made of it, unless
/// that is wanted more.
pub fn find<'t, T>(
    wanted: &[Wanted],
    things: &'t [T],
    content_type: impl Fn(&T) -> &str,
) -> Option<Given<'t, T>> {
    wanted.chunk_by(|one, other| one.quality == other.quality).find_map(|alike| {
        let stored = alike
            .iter()
            .find_map(|wanted| things.iter().find(|thing| wanted.matches(content_type(thing))))
            .map(Given::Stored);
        let made = || {
            let codec = alike.iter().find_map(Wanted::codec)?;
            let picture = things.iter().find(|thing| is_convertible(content_type(thing)))?;
            Some(Given::Made(picture, codec))
        };
        stored.or_else(made)
    })
}

/// Whether files of this type can be read as pictures.
pub fn is_convertible(content_type: &str) -> bool {
    matches!(
        content_type,
        "image/png" | "image/jpeg" | "image/webp" | "image/gif" | "image/bmp" | "image/tiff"
    )
}

/// The types that a header names, the most wanted first, of any kind. No header: none.
pub fn listed(accept: Option<&str>) -> Vec<Wanted> {
    let mut items: Vec<(u32, &str)> = accept.unwrap_or_default().split(',').filter_map(item).collect();
    items.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    items.into_iter().filter_map(|(quality, name)| wanted(quality, name)).collect()
}

fn wanted(quality: u32, name: &str) -> Option<Wanted> {
    let (family, subtype) = name.split_once('/')?;
    let subtype = subtype.trim().to_ascii_lowercase();
    let subtype = (subtype != "*").then_some(subtype);
    Some(Wanted { family: family.trim().to_ascii_lowercase(), subtype, quality })
}

/// Reads an `Accept` header. What is not understood, and no header at all, mean JSON.
pub fn choose(accept: Option<&str>) -> Form {
    let mut wanted = Vec::new();
    for one in listed(accept) {
        match (one.family.as_str(), one.subtype.as_deref().unwrap_or("*")) {
            ("application", "zip") if wanted.is_empty() => return Form::Zip,
            // Browsers list the pictures they can show after the page they want: they are not asking for one.
            ("*" | "application", _) | ("text", "html" | "*") if wanted.is_empty() => return Form::Json,
            ("text", "event-stream") if wanted.is_empty() => return Form::Events,
            ("image" | "video" | "audio" | "model", _) => wanted.push(one),
            _ => {}
        }
    }
    if wanted.is_empty() { Form::Json } else { Form::Bytes(wanted) }
}

/// One entry: its quality in thousandths, and its name. Entries with quality 0 are refused ones.
fn item(entry: &str) -> Option<(u32, &str)> {
    let mut parts = entry.split(';');
    let name = parts.next()?.trim();
    let quality = parts
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(1.0, |(_, value)| value.trim().parse::<f32>().unwrap_or(0.0));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
    let quality = (quality.clamp(0.0, 1.0) * 1000.0) as u32;
    (quality > 0 && !name.is_empty()).then_some((quality, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(header: &str) -> String {
        match choose(Some(header)) {
            Form::Json => "json".to_owned(),
            Form::Events => "events".to_owned(),
            Form::Zip => "zip".to_owned(),
            Form::Bytes(wanted) => wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        }
    }

    #[test]
    fn the_highest_quality_decides() {
        for (header, expected) in [
            ("", "json"),
            ("*/*", "json"),
            ("application/json", "json"),
            ("text/event-stream", "events"),
            ("TEXT/Event-Stream; q=0.5, application/json;q=0.4", "events"),
            ("text/event-stream;q=0, application/json", "json"),
            ("image/png", "image/png"),
            ("image/*;q=0.5, image/webp", "image/webp image/*"),
            ("image/png, application/json;q=0.1", "image/png"),
            ("application/json, image/png", "json"),
            ("text/html,application/xhtml+xml,image/avif,*/*;q=0.8", "json"),
            ("model/gltf-binary", "model/gltf-binary"),
            ("application/zip", "zip"),
            ("application/zip;q=0.5, application/json", "json"),
            ("nonsense, image/png;q=x", "json"),
        ] {
            assert_eq!(wanted(header), expected, "{header}");
        }
    }

    #[test]
    fn impossible_types_are_known_beforehand() {
        let Form::Bytes(wanted) = choose(Some("image/tiff, image/*;q=0.2, model/gltf-binary;q=0.1")) else {
            panic!()
        };
        assert!(!wanted[0].could_match(OutputKind::Image, "SaveImage"));
        assert!(wanted[0].could_match(OutputKind::Image, "SomeSaver"));
        assert!(wanted[1].could_match(OutputKind::Image, "SaveImage"));
        assert!(wanted[2].could_match(OutputKind::Model3d, "SaveGLB"));
        assert!(wanted[0].matches("image/TIFF; x=y") && !wanted[0].matches("image/png"));
        let Form::Bytes(wanted) = choose(Some("image/webp")) else { panic!() };
        assert!(wanted[0].could_match(OutputKind::Image, "SaveImage"));
    }

    #[test]
    fn what_is_there_is_given_unless_something_else_is_wanted_more() {
        let things = ["video/mp4", "image/png"];
        for (header, expected) in [
            ("image/png", Some(Given::Stored(&things[1]))),
            ("image/webp", Some(Given::Made(&things[1], Codec::Webp))),
            ("image/jpeg, image/*;q=0.5", Some(Given::Made(&things[1], Codec::Jpeg))),
            ("image/jpeg;q=0.5, image/*", Some(Given::Stored(&things[1]))),
            ("image/avif,image/webp,image/apng,image/*,*/*;q=0.8", Some(Given::Stored(&things[1]))),
            ("image/gif", None),
            ("audio/wav", None),
        ] {
            assert_eq!(find(&listed(Some(header)), &things, |thing| thing), expected, "{header}");
        }
    }
}
