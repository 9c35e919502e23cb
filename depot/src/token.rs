//! Tokens: sent to those whom they are for, and shown to nobody.

use std::{fmt, io, path::Path};

use http::HeaderValue;

/// A token of an account. It has no way into a log, an error or a file: only into one header.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

/// A token that is none.
#[derive(Debug, thiserror::Error)]
pub enum BadToken {
    /// It holds what no header may hold.
    #[error("a token is one line of visible ASCII characters")]
    Characters,
    /// Its file cannot be read.
    #[error("the token cannot be read from {path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
}

impl Token {
    /// From text, around which spaces and line ends do not matter. `None` if nothing is left.
    pub fn new(text: &str) -> Result<Option<Self>, BadToken> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadToken::Characters);
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| BadToken::Characters)?;
        value.set_sensitive(true);
        Ok(Some(Self(value)))
    }

    /// From a file that holds nothing else.
    pub fn read(path: &Path) -> Result<Option<Self>, BadToken> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| BadToken::File { path: path.display().to_string(), error })?;
        Self::new(&text)
    }

    /// The value of an `Authorization` header. It is marked as one not to be shown.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("****")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_shown() {
        let token = Token::new(" hf_sesame\n").unwrap().unwrap();
        assert_eq!(token.header().to_str().unwrap(), "Bearer hf_sesame");
        assert!(!format!("{token:?} {:?}", token.header()).contains("sesame"));
        assert!(Token::new(" \n").unwrap().is_none());
        for bad in ["a b", "a\nb", "é"] {
            let said = Token::new(bad).unwrap_err();
            assert!(matches!(said, BadToken::Characters), "{bad}");
        }
    }
}
