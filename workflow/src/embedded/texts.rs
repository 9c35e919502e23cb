//! The texts of a file that may be a workflow.

/// Under the names that ComfyUI gives them. The first of each name that could be a workflow counts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// How many were looked at.
    tries: usize,
    prompt: Option<Vec<u8>>,
    workflow: Option<Vec<u8>>,
    /// Some nodes write both into one comment.
    comment: Option<Vec<u8>>,
}

impl Texts {
    /// More than any file has. Texts may share their bytes, or unfold from few: each one that is looked at costs time.
    const MOST_TRIES: usize = 16;

    /// Keeps a text if its key is one of those.
    pub(super) fn add(&mut self, key: &[u8], text: impl Into<Vec<u8>>) {
        self.add_with(key, || Some(text.into()));
    }

    /// The same for a text that has to be decoded, which is done only if it is wanted.
    pub(super) fn add_with(&mut self, key: &[u8], text: impl FnOnce() -> Option<Vec<u8>>) {
        let place = match key.to_ascii_lowercase().as_slice() {
            b"prompt" => &mut self.prompt,
            b"workflow" => &mut self.workflow,
            b"comment" | b"\xa9cmt" => &mut self.comment,
            _ => return,
        };
        if place.is_some() || self.tries == Self::MOST_TRIES {
            return;
        }
        self.tries += 1;
        if let Some(text) = text() {
            let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let trimmed = text[..end].trim_ascii();
            // A comment may be anything; a workflow is an object.
            *place = Some(trimmed.to_vec()).filter(|text| text.starts_with(b"{"));
        }
    }

    /// `key:text` in one, as pictures have it in their EXIF data.
    pub(super) fn add_joined(&mut self, joined: &[u8]) {
        let head = &joined[..joined.len().min(16)];
        if let Some((key, _)) = super::bytes::split_at_byte(head, b':') {
            self.add_with(key, || Some(utf8(&joined[key.len() + 1..])));
        }
    }

    pub(super) fn in_order(&self) -> impl Iterator<Item = &[u8]> {
        [&self.prompt, &self.comment, &self.workflow].into_iter().flatten().map(Vec::as_slice)
    }
}

/// UTF-8 where it is, else Latin-1, which older chunks are in.
pub(super) fn utf8(text: &[u8]) -> Vec<u8> {
    if std::str::from_utf8(text).is_ok() {
        return text.to_vec();
    }
    text.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}

/// UTF-16 with a byte order mark, or in this order without one.
pub(super) fn utf16(text: &[u8], little: bool) -> Vec<u8> {
    let (text, little) = match text {
        [0xFF, 0xFE, rest @ ..] => (rest, true),
        [0xFE, 0xFF, rest @ ..] => (rest, false),
        _ => (text, little),
    };
    let units = text.chunks_exact(2).map(|pair| {
        let pair = [pair[0], pair[1]];
        if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
    });
    char::decode_utf16(units)
        .map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect::<String>()
        .into_bytes()
}
