//! Names of models: a folder below the models folder, and a file in it.

use std::fmt;

/// No file system takes a longer part of a path.
const LONGEST_PART: usize = 255;

/// Room is left for the models folder within what systems take.
const LONGEST_NAME: usize = 1024;

/// Nobody sorts deeper.
const DEEPEST: usize = 16;

/// Where a model lies below the models folder. It never leads out of it: there are no `..`, no `.`, no empty and no
/// hidden parts, and neither control characters nor what other systems take for separators.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName {
    folder: String,
    file: String,
}

/// A name that is none of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not the name of a model: {why}")]
pub struct BadName {
    /// The folder and the file, as they were given.
    pub name: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl ModelName {
    /// A `folder` such as `loras`, and a `file` such as `flux/detail.safetensors`, both with `/` between their parts.
    pub fn new(folder: &str, file: &str) -> Result<Self, BadName> {
        let bad = |why| BadName { name: format!("{folder}/{file}"), why };
        if folder.len() + file.len() >= LONGEST_NAME {
            return Err(bad("it is too long"));
        }
        for part in folder.split('/').chain(file.split('/')) {
            if let Some(why) = fault(part) {
                return Err(bad(why));
            }
        }
        if folder.split('/').count() + file.split('/').count() > DEEPEST {
            return Err(bad("it is too deep"));
        }
        Ok(Self { folder: folder.to_owned(), file: file.to_owned() })
    }

    /// The folder below the models folder.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The file, with `/` between folders.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What follows the last dot, in small letters; empty if there is none.
    pub fn extension(&self) -> String {
        extension(&self.file)
    }

    /// The parts of its path.
    pub(crate) fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.folder.split('/').chain(self.file.split('/'))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.folder, self.file)
    }
}

/// Kinds of files that are, or may be, Python's pickles.
const PICKLES: [&str; 8] = ["ckpt", "pt", "pt2", "pth", "bin", "pkl", "pickle", "joblib"];

/// Whether a file is, or may be, one of Python's pickles, by its name: those can run code when they are loaded.
pub fn may_be_pickle(file: &str) -> bool {
    PICKLES.contains(&extension(file).as_str())
}

pub(crate) fn extension(file: &str) -> String {
    let last = file.rsplit('/').next().unwrap_or(file);
    last.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

fn fault(part: &str) -> Option<&'static str> {
    match part {
        "" => Some("a part of it is empty"),
        part if part.starts_with('.') => Some("a part of it begins with a dot"),
        part if part.len() > LONGEST_PART => Some("a part of it is longer than 255 bytes"),
        part if part.chars().any(|one| one.is_control() || one == '\\' || one == ':') => {
            Some("it holds a backslash, a colon or a control character")
        }
        _ => None,
    }
}
