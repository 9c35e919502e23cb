//! What a model wrote, read as a proposal.

use crate::proposal::Proposal;

/// Largest answer that is looked at, in bytes.
const LARGEST: usize = 256 << 10;

/// Why an answer is no proposal.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    /// There was nothing.
    #[error("the answer is empty")]
    Empty,
    /// There was too much.
    #[error("the answer is longer than {LARGEST} bytes")]
    Large,
    /// It is something else.
    #[error("the answer is not what was asked for: {0}")]
    Shape(#[from] serde_json::Error),
}

/// Reads the JSON of an answer, also if the model put a fence around it.
pub(crate) fn read(text: &str) -> Result<Proposal, BadAnswer> {
    if text.len() > LARGEST {
        return Err(BadAnswer::Large);
    }
    let text = unfenced(text.trim());
    if text.is_empty() {
        return Err(BadAnswer::Empty);
    }
    Ok(serde_json::from_str(text)?)
}

/// What stands between the first fence and the last one, without the language that the first one names.
fn unfenced(text: &str) -> &str {
    let Some((_, fenced)) = text.split_once("```") else { return text };
    let Some((inside, _)) = fenced.rsplit_once("```") else { return text };
    inside.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"{"title": "A", "description": "B", "parameters": []}"#;

    #[test]
    fn a_fence_and_words_around_it_are_left_out() {
        for text in [
            PLAIN.to_owned(),
            format!("\n {PLAIN}\n"),
            format!("```json\n{PLAIN}\n```"),
            format!("```\n{PLAIN}\n```"),
            format!("Here it is:\n```JSON\n{PLAIN}\n```\nAnything else?"),
        ] {
            assert_eq!(read(&text).unwrap().title, "A", "{text}");
        }
    }

    #[test]
    fn other_texts_are_named_and_do_no_harm() {
        assert!(matches!(read("  "), Err(BadAnswer::Empty)));
        assert!(matches!(read(&"x".repeat(LARGEST + 1)), Err(BadAnswer::Large)));
        for text in ["no", "```", "``````", "{\"title\": 1}", &PLAIN[..20], &"[".repeat(100_000)] {
            assert!(matches!(read(text), Err(BadAnswer::Shape(_) | BadAnswer::Empty)), "{}", text.len());
        }
    }
}
