//! Server-sent events, as they are read.

use std::time::Duration;

use reqwest::Response;

/// Servers say something every ten seconds: one that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(40);

/// The largest event, in bytes: previews are pictures.
const LARGEST: usize = 64 << 20;

/// Something that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// What.
    pub(super) name: String,
    /// More, as JSON.
    pub(super) data: String,
}

/// A stream of events.
#[derive(Debug)]
pub(super) struct Events {
    response: Response,
    lines: Lines,
}

impl Events {
    pub(super) fn of(response: Response) -> Self {
        Self { response, lines: Lines::default() }
    }

    /// The number of the last event that had one: where to go on from.
    pub(super) fn seen(&self) -> Option<&str> {
        self.lines.id.as_deref()
    }

    /// The next event; nothing if the connection broke, whyever.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.lines.next() {
                return Some(event);
            }
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await.ok()?.ok()??;
            if self.lines.waiting.len() + chunk.len() > LARGEST {
                return None;
            }
            self.lines.waiting.extend_from_slice(&chunk);
        }
    }
}

/// Bytes that are read line by line.
#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<u8>,
    event: Event,
    id: Option<String>,
}

impl Lines {
    /// The next whole event.
    fn next(&mut self) -> Option<Event> {
        while let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.waiting.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                if self.event.data.is_empty() {
                    self.event = Event::default();
                    continue;
                }
                return Some(std::mem::take(&mut self.event));
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.event.name = value.to_owned(),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                "id" => self.id = Some(value.to_owned()),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text =
            ": hello\n\nevent: progress\nid: 7\ndata: {\"percent\":1}\r\n\ndata: a\ndata:b\n\nevent: lost\n";
        for size in [1, 3, text.len()] {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                lines.waiting.extend_from_slice(piece);
                while let Some(event) = lines.next() {
                    found.push((event.name, event.data));
                }
            }
            let expected = [("progress", "{\"percent\":1}"), ("", "a\nb")];
            assert_eq!(found, expected.map(|(name, data)| (name.to_owned(), data.to_owned())), "{size}");
            assert_eq!(lines.id.as_deref(), Some("7"));
        }
    }
}
