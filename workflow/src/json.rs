//! JSON as ComfyUI and its users really write it.
//!
//! Exports come with byte order marks, in UTF-16, with Python's `NaN` and `Infinity`, with integers beyond 64 bits
//! and with repeated keys. [`parse`] reads all of that without losing a digit: a [`Number`] keeps the text it was
//! written with.

use std::borrow::Cow;

use indexmap::IndexMap;
use jiter::{Jiter, NumberAny, Peek};
use serde::{Serialize, Serializer, ser::SerializeMap};

mod number;
mod write;

pub use number::Number;
pub use write::write_text;

/// Object members in the order they were written.
pub type Object = IndexMap<String, Value>;

/// Nesting deeper than this is refused.
pub const MAX_DEPTH: usize = 128;

/// A JSON value with exact numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, `NaN` or an infinity.
    Number(Number),
    /// Text.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// An object; of repeated keys the last one stands.
    Object(Object),
}

/// A value, and what was odd about its text.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The value.
    pub value: Value,
    /// JSON pointers of members that were written more than once. The last one stands.
    pub duplicate_keys: Vec<String>,
}

/// Why a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at line {line} column {column}")]
pub struct ParseError {
    /// What is wrong, in words.
    pub reason: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in bytes, counted from 1.
    pub column: usize,
}

/// Reads JSON in UTF-8 or UTF-16, with or without a byte order mark.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let text = decode(bytes)?;
    let mut reader = Reader { jiter: Jiter::new(&text).with_allow_inf_nan(), duplicates: Vec::new() };
    let mut path = Vec::new();
    let value = reader
        .jiter
        .peek()
        .and_then(|peek| reader.value(peek, &mut path))
        .and_then(|value| reader.jiter.finish().map(|()| value));
    match value {
        Ok(value) => Ok(Parsed { value, duplicate_keys: reader.duplicates }),
        Err(error) => Err(describe(&error, &reader.jiter)),
    }
}

/// Removes a byte order mark and turns UTF-16 into UTF-8.
fn decode(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ParseError> {
    let utf16 = |little: bool, body: &[u8]| {
        let units = body.chunks_exact(2).map(|pair| {
            let pair = [pair[0], pair[1]];
            if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
        });
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.map(|text| Cow::Owned(text.into_bytes())).map_err(|_| ParseError {
            reason: "invalid UTF-16".to_owned(),
            line: 1,
            column: 1,
        })
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => Ok(Cow::Borrowed(rest)),
        [0xFF, 0xFE, rest @ ..] => utf16(true, rest),
        [0xFE, 0xFF, rest @ ..] => utf16(false, rest),
        // JSON starts with an ASCII character, so a zero beside it betrays UTF-16 without a mark.
        [first, 0, ..] if *first != 0 => utf16(true, bytes),
        [0, first, ..] if *first != 0 => utf16(false, bytes),
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

fn describe(error: &jiter::JiterError, jiter: &Jiter<'_>) -> ParseError {
    let position = jiter.error_position(error.index);
    let reason = match &error.error_type {
        jiter::JiterErrorType::JsonError(kind) => kind.to_string(),
        other @ jiter::JiterErrorType::WrongType { .. } => other.to_string(),
    };
    ParseError { reason, line: position.line, column: position.column.max(1) }
}

struct Reader<'j> {
    jiter: Jiter<'j>,
    duplicates: Vec<String>,
}

type Read<T> = Result<T, jiter::JiterError>;

impl Reader<'_> {
    fn value(&mut self, peek: Peek, path: &mut Vec<String>) -> Read<Value> {
        if path.len() > MAX_DEPTH {
            return Err(jiter::JiterError {
                error_type: jiter::JiterErrorType::JsonError(jiter::JsonErrorType::RecursionLimitExceeded),
                index: self.jiter.current_index(),
            });
        }
        Ok(match peek {
            Peek::Null => {
                self.jiter.known_null()?;
                Value::Null
            }
            Peek::True | Peek::False => Value::Bool(self.jiter.known_bool(peek)?),
            Peek::String => Value::String(self.jiter.known_str()?.to_owned()),
            Peek::Array => self.array(path)?,
            Peek::Object => self.object(path)?,
            _ => self.number(peek)?,
        })
    }

    fn number(&mut self, peek: Peek) -> Read<Value> {
        // `known_number_bytes` keeps the lexeme but does not know the Python tokens.
        if matches!(peek, Peek::NaN | Peek::Infinity) {
            let NumberAny::Float(value) = self.jiter.known_number(peek)? else {
                return Ok(Value::Null);
            };
            return Ok(Value::Number(Number::from_f64(value)));
        }
        let start = self.jiter.current_index();
        let number = self.jiter.known_number(peek)?;
        let lexeme = String::from_utf8_lossy(self.jiter.slice_to_current(start)).trim().to_owned();
        Ok(Value::Number(match number {
            NumberAny::Float(value) if !value.is_finite() => Number::from_f64(value),
            _ => Number::from_lexeme(lexeme),
        }))
    }

    fn array(&mut self, path: &mut Vec<String>) -> Read<Value> {
        let mut items = Vec::new();
        let mut next = self.jiter.known_array()?;
        while let Some(peek) = next {
            path.push(items.len().to_string());
            items.push(self.value(peek, path)?);
            path.pop();
            next = self.jiter.array_step()?;
        }
        Ok(Value::Array(items))
    }

    fn object(&mut self, path: &mut Vec<String>) -> Read<Value> {
        let mut members = Object::new();
        let mut next = self.jiter.known_object()?.map(str::to_owned);
        while let Some(key) = next {
            path.push(key);
            let peek = self.jiter.peek()?;
            let value = self.value(peek, path)?;
            let key = path.pop().unwrap_or_default();
            if members.contains_key(&key) {
                self.duplicates.push(pointer(path, &key));
            }
            members.insert(key, value);
            next = self.jiter.next_key()?.map(str::to_owned);
        }
        Ok(Value::Object(members))
    }
}

fn pointer(path: &[String], key: &str) -> String {
    path.iter().map(String::as_str).chain([key]).fold(String::new(), |mut text, part| {
        text.push('/');
        text.push_str(&part.replace('~', "~0").replace('/', "~1"));
        text
    })
}

impl Value {
    /// The member of an object, if this is one that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The items, if this is a list.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The number, if this is one.
    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The number as a float, if this is a number.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number().map(Number::as_f64)
    }

    /// The number as an unsigned integer, if it is one and fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    /// The number as a signed integer, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(Number::from_lexeme(value.to_string()))
    }
}

/// Strict JSON: what has no number in it (`NaN`, infinities) becomes `null`.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> String {
        let mut out = String::new();
        parse(text.as_bytes()).unwrap().value.write(&mut out);
        out
    }

    #[test]
    fn numbers_keep_their_text() {
        let text = r#"{"a":18446744073709551615,"b":1.0,"c":NaN,"d":-Infinity,"e":123456789012345678901234567890,"f":1e5}"#;
        assert_eq!(round_trip(text), text);
    }

    #[test]
    fn encodings_are_recognised() {
        let text = "{\"a\":\"é\"}";
        let mut little = vec![0xFF, 0xFE];
        little.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = [b"\xEF\xBB\xBF".as_slice(), text.as_bytes()].concat();
        for bytes in [little, big, marked] {
            assert_eq!(parse(&bytes).unwrap().value.get("a"), Some(&Value::from("é")));
        }
    }

    #[test]
    fn repeated_keys_are_named() {
        let parsed = parse(br#"{"a":{"x/y":1,"x/y":2}}"#).unwrap();
        assert_eq!(parsed.duplicate_keys, ["/a/x~1y"]);
        assert_eq!(parsed.value.get("a").unwrap().get("x/y").unwrap().as_u64(), Some(2));
    }

    #[test]
    fn faults_have_a_place() {
        let error = parse(b"{\n  \"a\": 1,\n}").unwrap_err();
        assert_eq!(error.line, 3, "{error}");
        assert!(parse(br#"{"a":"\ud800"}"#).is_err());
        assert!(parse(b"[1] trailing").is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse(b"").is_err());
    }
}
