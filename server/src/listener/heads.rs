//! Heads of requests, looked at before the HTTP parser sees them.
//!
//! The parser is lenient where a proxy in front may read the same bytes another way: it takes a bare line feed for the
//! end of a line, and lets `Transfer-Encoding` win over `Content-Length`. Where two readers may disagree about the end
//! of a request, one of them can be made to see a request that the other one did not, so such a head is refused.
//!
//! What refuses is the parser: the byte that offends is made unreadable, and the parser gives up at it.

/// What of a line is kept: enough for the two names that matter and a length.
const KEPT: usize = 64;

/// Follows the requests of one connection.
#[derive(Debug)]
pub(super) struct Heads {
    state: State,
    line: Vec<u8>,
    /// The previous byte.
    last: u8,
    request_line: bool,
    length: Option<u64>,
    chunked: bool,
    offence: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    /// That many bytes of a body are to come.
    Body(u64),
    /// Nothing that follows is looked at: such a connection ends with its answer.
    Rest,
}

impl Heads {
    pub(super) fn new() -> Self {
        Self {
            state: State::Head,
            line: Vec::with_capacity(KEPT),
            last: 0,
            request_line: true,
            length: None,
            chunked: false,
            offence: None,
        }
    }

    /// Why a head was refused.
    pub(super) fn offence(&self) -> Option<&'static str> {
        self.offence
    }

    /// Looks at bytes that arrived, and makes them unreadable where they offend.
    pub(super) fn look(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Rest => return,
                State::Body(left) => {
                    let here =
                        usize::try_from(left).map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
                    at += here;
                    let left = left.saturating_sub(here as u64);
                    self.state = if left == 0 { State::Head } else { State::Body(left) };
                }
                State::Head => {
                    if let Some(offence) = self.byte(bytes[at]) {
                        self.offence = Some(offence);
                        self.state = State::Rest;
                        bytes[at] = 0;
                    }
                    at += 1;
                }
            }
        }
    }

    fn byte(&mut self, byte: u8) -> Option<&'static str> {
        let last = std::mem::replace(&mut self.last, byte);
        if byte == b'\n' {
            return if last == b'\r' {
                self.end_of_line()
            } else {
                Some("a line of the head ends in a bare line feed")
            };
        }
        if self.line.len() < KEPT && byte != b'\r' {
            self.line.push(byte);
        }
        None
    }

    fn end_of_line(&mut self) -> Option<&'static str> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            // Some clients send an empty line after a body.
            return if self.request_line { None } else { self.end_of_head() };
        }
        if !std::mem::take(&mut self.request_line) {
            self.header(&line);
        }
        self.line = line;
        self.line.clear();
        None
    }

    fn header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            // One that cannot be read is refused by the parser.
            let value = std::str::from_utf8(value).ok().and_then(|value| value.trim().parse().ok());
            self.length = Some(value.unwrap_or(u64::MAX));
        }
    }

    fn end_of_head(&mut self) -> Option<&'static str> {
        let (length, chunked) = (self.length.take(), std::mem::take(&mut self.chunked));
        self.request_line = true;
        self.state = match length {
            Some(_) if chunked => return Some("the head has both Content-Length and Transfer-Encoding"),
            _ if chunked => State::Rest,
            Some(length) if length > 0 => State::Body(length),
            _ => State::Head,
        };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str =
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\ntransfer-encoding: chunked\r\n\r\n";

    /// What is left of `text` after it arrived in pieces of this size, and the offence.
    fn looked(text: &str, piece: usize) -> (String, Option<&'static str>) {
        let (mut heads, mut bytes) = (Heads::new(), text.as_bytes().to_vec());
        bytes.chunks_mut(piece).for_each(|piece| heads.look(piece));
        (String::from_utf8(bytes).unwrap(), heads.offence())
    }

    #[test]
    fn ordinary_requests_pass_unchanged_in_pieces_of_any_size() {
        let one = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\nbare\nfeed\r\n\r\n";
        let text = format!(
            "{one}\r\n{one}GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n"
        );
        for piece in 1..text.len() {
            assert_eq!(looked(&text, piece), (text.clone(), None), "{piece}");
        }
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_becomes_unreadable() {
        let bare = "GET / HTTP/1.1\nHost: a\r\n\r\n";
        let second = format!("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}{BOTH}");
        for text in [BOTH, bare, &second] {
            for piece in 1..text.len() {
                let (left, offence) = looked(text, piece);
                assert!(offence.is_some() && left.contains('\0'), "{piece}: {left}");
            }
        }
    }
}
