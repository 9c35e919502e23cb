//! Server-sent events, as far as this server sends them.

use bytes::{Buf, Bytes, BytesMut};

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Bytes as they arrive, cut into events.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pending: BytesMut,
    /// How much of `pending` is known to hold no line end: long lines are looked at once.
    scanned: usize,
    name: String,
    data: Vec<String>,
}

impl Messages {
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole event.
    pub(crate) fn next(&mut self) -> Option<Message> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
                if !data.is_empty() {
                    return Some(Message { name, data: data.join("\n") });
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.name = value.to_owned(),
                "data" => self.data.push(value.to_owned()),
                // A comment keeps the connection alive; nothing else is sent.
                _ => {}
            }
        }
        None
    }

    fn line(&mut self) -> Option<String> {
        let Some(end) = self.pending[self.scanned..].iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.pending.len();
            return None;
        };
        let line = self.pending.split_to(self.scanned + end);
        self.pending.advance(1);
        self.scanned = 0;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        Some(String::from_utf8_lossy(line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_wherever_they_are_cut() {
        let text = ": hello\n\nevent: queued\r\ndata: {\"position\":1}\r\n\r\nevent:result\ndata:one\ndata: two é\n\nevent: x\n\ndata: lost";
        let expected = [
            Message { name: "queued".to_owned(), data: "{\"position\":1}".to_owned() },
            Message { name: "result".to_owned(), data: "one\ntwo é".to_owned() },
        ];
        for size in 1..text.len() {
            let mut messages = Messages::default();
            let mut found = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                messages.push(&Bytes::copy_from_slice(chunk));
                found.extend(std::iter::from_fn(|| messages.next()));
            }
            assert_eq!(found, expected, "cut after every {size} bytes");
        }
    }
}
