//! Reading what comes over the socket.

use bytes::{Buf, Bytes};
use comfyport_workflow::json::{self, Value};

/// One message of ComfyUI's.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// The queue changed, or the connection opened.
    Status,
    /// Something about one prompt.
    Prompt { id: String, signal: Signal },
    /// Text of a node of whatever prompt is running.
    Text { node: String, text: String },
    /// Understood to be none of ours: another event type, or a picture without an owner.
    Ignored,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Signal {
    Started,
    Cached(Vec<String>),
    Executing {
        node: String,
        display: Option<String>,
    },
    Progress {
        node: String,
        value: f64,
        max: f64,
    },
    Executed {
        node: String,
        display: Option<String>,
    },
    Picture {
        node: String,
        display: Option<String>,
        content_type: String,
        data: Bytes,
    },
    /// Alive, with nothing to tell.
    Activity,
    /// The last message of a prompt.
    Done,
}

/// Reads a text frame. `None` if it is malformed.
pub(crate) fn text(body: &[u8]) -> Option<Frame> {
    let message = json::parse(body).ok()?.value;
    let kind = message.get("type")?.as_str()?;
    let data = message.get("data").unwrap_or(&Value::Null);
    if kind == "status" {
        return Some(Frame::Status);
    }
    // Without a prompt id (as in the `executing` after a connect) an event belongs to nobody.
    let Some(id) = string(data, "prompt_id") else { return Some(Frame::Ignored) };
    let signal = match kind {
        "execution_start" => Signal::Started,
        "execution_cached" => {
            let nodes = data.get("nodes").and_then(Value::as_array).unwrap_or_default();
            Signal::Cached(nodes.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        "executing" if data.get("node").is_none_or(Value::is_null) => Signal::Done,
        "executing" => {
            Signal::Executing { node: string(data, "node")?, display: string(data, "display_node") }
        }
        "progress" => progress(data)?,
        "executed" => Signal::Executed { node: string(data, "node")?, display: string(data, "display_node") },
        // An error here need not be the end (a blocked node is not), and success comes before history.
        "progress_state" | "execution_success" | "execution_error" | "execution_interrupted" => {
            Signal::Activity
        }
        _ => return Some(Frame::Ignored),
    };
    Some(Frame::Prompt { id, signal })
}

fn progress(data: &Value) -> Option<Signal> {
    let value = data.get("value")?.as_f64()?;
    let max = data.get("max")?.as_f64()?;
    Some(match string(data, "node") {
        Some(node) if value.is_finite() && max.is_finite() => Signal::Progress { node, value, max },
        _ => Signal::Activity,
    })
}

fn string(data: &Value, key: &str) -> Option<String> {
    data.get(key)?.as_str().map(str::to_owned)
}

/// Reads a binary frame. `None` if it is malformed.
pub(crate) fn binary(mut body: Bytes) -> Option<Frame> {
    match body.try_get_u32().ok()? {
        3 => {
            let node = String::from_utf8(take(&mut body)?.to_vec()).ok()?;
            Some(Frame::Text { node, text: String::from_utf8_lossy(&body).into_owned() })
        }
        4 => picture(body),
        // A picture that says not whose it is could be another caller's.
        _ => Some(Frame::Ignored),
    }
}

fn picture(mut body: Bytes) -> Option<Frame> {
    let about = json::parse(&take(&mut body)?).ok()?.value;
    let Some(id) = string(&about, "prompt_id") else { return Some(Frame::Ignored) };
    Some(Frame::Prompt {
        id,
        signal: Signal::Picture {
            node: string(&about, "node_id")?,
            display: string(&about, "display_node_id"),
            content_type: match about.get("image_type")?.as_str()? {
                "image/png" => "image/png",
                "image/jpeg" => "image/jpeg",
                _ => return None,
            }
            .to_owned(),
            data: body,
        },
    })
}

/// A part with its length before it.
fn take(body: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(body.try_get_u32().ok()?).ok()?;
    (length <= body.len()).then(|| body.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(text_: &str) -> Signal {
        match text(text_.as_bytes()) {
            Some(Frame::Prompt { id, signal }) if id == "p" => signal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_frames() {
        assert_eq!(signal(r#"{"type":"executing","data":{"node":null,"prompt_id":"p"}}"#), Signal::Done);
        assert_eq!(
            signal(r#"{"type":"progress","data":{"value":NaN,"max":2,"prompt_id":"p","node":"3"}}"#),
            Signal::Activity
        );
        let blocked =
            r#"{"type":"execution_error","data":{"prompt_id":"p","exception_type":"ExecutionBlocked"}}"#;
        assert_eq!(signal(blocked), Signal::Activity);
        assert_eq!(
            signal(
                r#"{"type":"executed","data":{"node":"1.0.0.2","display_node":"1","output":{"x":[NaN]},"prompt_id":"p"}}"#
            ),
            Signal::Executed { node: "1.0.0.2".to_owned(), display: Some("1".to_owned()) }
        );
        assert_eq!(text(br#"{"type":"executing","data":{"node":"1"}}"#), Some(Frame::Ignored));
        assert_eq!(text(br#"{"type":"my_event","data":{"prompt_id":"p"}}"#), Some(Frame::Ignored));
        assert_eq!(text(br#"{"type":"status"}"#), Some(Frame::Status));
        for bad in ["", "[]", "{", r#"{"type":"progress","data":{"prompt_id":"p","value":"x"}}"#] {
            assert_eq!(text(bad.as_bytes()), None, "{bad}");
        }
    }

    fn framed(kind: u32, head: &[u8], rest: &[u8]) -> Bytes {
        let length = u32::try_from(head.len()).unwrap();
        [&kind.to_be_bytes(), &length.to_be_bytes(), head, rest].concat().into()
    }

    #[test]
    fn binary_frames() {
        let about = br#"{"node_id":"9","prompt_id":"p","display_node_id":"9","image_type":"image/png"}"#;
        let Some(Frame::Prompt { signal: Signal::Picture { node, data, .. }, .. }) =
            binary(framed(4, about, b"PNG"))
        else {
            panic!()
        };
        assert_eq!((node.as_str(), &data[..]), ("9", &b"PNG"[..]));
        let text = Frame::Text { node: "5".to_owned(), text: "hé".to_owned() };
        assert_eq!(binary(framed(3, b"5", "hé".as_bytes())), Some(text));
        assert_eq!(binary(Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0, 1, 0xFF])), Some(Frame::Ignored));
        for bad in [&b""[..], b"\0\0\0", b"\0\0\0\x04\xFF\xFF\xFF\xFF", b"\0\0\0\x03\0\0\0\x09a"] {
            assert_eq!(binary(Bytes::copy_from_slice(bad)), None);
        }
    }
}
