//! What is in a models folder.

mod duplicates;
mod index;
mod plan;
mod verify;

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use self::index::Index;
pub use self::{
    duplicates::Duplicate,
    plan::{Plan, Planned, Task},
    verify::{State as VerifyState, Verdict},
};
use crate::{ModelName, PullError, cache::modified, files::walk, name::extension};

/// What models are called. Other files of a models folder (notes, pictures, configurations) are nobody's business.
const MODELS: [&str; 12] =
    ["safetensors", "sft", "gguf", "onnx", "ckpt", "pt", "pt2", "pth", "bin", "pkl", "engine", "torchscript"];

/// A models folder, with what its files hash to as long as they stay as they are. All of it blocks.
#[derive(Debug)]
pub struct Shelf {
    root: PathBuf,
    links_may_leave: bool,
    index: Index,
}

/// A model that is in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its folder below the models folder, and its file.
    pub name: ModelName,
    /// Where it is.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// Whether it is a symbolic link.
    pub symlink: bool,
    /// How many names it has, this one included: more than one if it is in a cache as well.
    pub links: u64,
    /// In nanoseconds since 1970.
    pub(crate) modified: i128,
    pub(crate) inode: (u64, u64),
}

impl Shelf {
    /// Of a models folder. What files hash to is remembered in a file, if one is named.
    pub fn open(models: &Path, index: Option<&Path>) -> Result<Self, PullError> {
        let root = models.canonicalize().map_err(PullError::io(models))?;
        Ok(Self { root, links_may_leave: false, index: Index::read(index) })
    }

    /// Whether a file is called as models are.
    pub fn is_model(name: &ModelName) -> bool {
        MODELS.contains(&name.extension().as_str())
    }

    /// Lets folders be links that leave the models folder.
    #[must_use]
    pub fn links_may_leave(self, links_may_leave: bool) -> Self {
        Self { links_may_leave, ..self }
    }

    /// The models, in the order of their names. Files beside all folders are none, and links that lead nowhere neither.
    pub fn list(&self) -> Result<Vec<Model>, PullError> {
        let mut models = Vec::new();
        for (path, metadata) in walk(&self.root).map_err(PullError::io(&self.root))? {
            let relative = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            let name = relative.and_then(|relative| relative.split_once('/'));
            let Some((folder, file)) = name.filter(|(_, file)| MODELS.contains(&extension(file).as_str()))
            else {
                continue;
            };
            let Ok(name) = ModelName::new(folder, file) else { continue };
            models.extend(model(name, path, metadata.is_symlink()));
        }
        Ok(models)
    }

    /// A model by its name, if it is there.
    fn find(&self, name: &ModelName) -> Option<Model> {
        let path: PathBuf =
            std::iter::once(self.root.as_os_str().to_owned()).chain(name.parts().map(Into::into)).collect();
        let symlink = path.is_symlink();
        model(name.clone(), path, symlink)
    }
}

fn model(name: ModelName, path: PathBuf, symlink: bool) -> Option<Model> {
    let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    Some(Model {
        name,
        path,
        size: metadata.len(),
        symlink,
        links: metadata.nlink(),
        modified: modified(&metadata),
        inode: (metadata.dev(), metadata.ino()),
    })
}
