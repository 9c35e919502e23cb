//! Whether models are what they should be.

use super::Shelf;
use crate::{BadHeader, Header, ModelName, PullError, Sha256, Wanted};

/// What was found of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its name.
    pub name: ModelName,
    /// What was found.
    pub state: State,
}

/// What was found of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is what it should be.
    Good {
        /// What it hashes to.
        sha256: Sha256,
    },
    /// It is there, and nothing is known to compare it with.
    Unknown {
        /// What it hashes to.
        sha256: Sha256,
    },
    /// It is not there.
    Missing,
    /// It has another size.
    WrongSize {
        /// In bytes.
        expected: u64,
        /// In bytes.
        actual: u64,
    },
    /// It has other content.
    WrongHash {
        /// What it should hash to.
        expected: Sha256,
        /// What it hashes to.
        actual: Sha256,
    },
    /// It is not what its name says.
    Broken {
        /// What is wrong.
        why: String,
    },
}

impl State {
    /// Whether something is wrong.
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Good { .. } | Self::Unknown { .. })
    }
}

impl Shelf {
    /// Compares models with what is wanted. With `afresh`, all of them are read, although they seem not to have changed.
    pub fn verify(&mut self, wanted: &[Wanted], afresh: bool) -> Result<Vec<Verdict>, PullError> {
        let judge =
            |wanted: &Wanted| Ok(Verdict { name: wanted.name.clone(), state: self.judge(wanted, afresh)? });
        let verdicts = wanted.iter().map(judge).collect::<Result<_, PullError>>()?;
        self.index.save()?;
        Ok(verdicts)
    }

    fn judge(&mut self, wanted: &Wanted, afresh: bool) -> Result<State, PullError> {
        let Some(model) = self.find(&wanted.name) else { return Ok(State::Missing) };
        if let Some(expected) = wanted.size
            && expected != model.size
        {
            return Ok(State::WrongSize { expected, actual: model.size });
        }
        let actual = self.index.digest(&model, afresh)?;
        match wanted.sha256 {
            Some(expected) if expected != actual => return Ok(State::WrongHash { expected, actual }),
            Some(_) => return Ok(State::Good { sha256: actual }),
            None => {}
        }
        if matches!(wanted.name.extension().as_str(), "safetensors" | "sft")
            && let Err(error @ BadHeader::Content(_)) = Header::read(&model.path)
        {
            return Ok(State::Broken { why: error.to_string() });
        }
        Ok(State::Unknown { sha256: actual })
    }
}
