//! What flows along links.

use std::sync::Arc;

use comfyport_workflow::json::Value;

use crate::media::{audio::Sound, picture::Picture};

/// One output of a node. Cheap to copy.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Images(Arc<Vec<Picture>>),
    Masks(Arc<Vec<Picture>>),
    Latent(Latent),
    Sound(Sound),
    Video {
        frames: Arc<Vec<Picture>>,
        fps: f64,
    },
    Mesh(u64),
    Svg(String),
    /// A schedule of so many steps.
    Steps(u64),
    Value(Value),
    /// A model, a conditioning, anything that is only passed on.
    Opaque,
}

/// The size of what will be decoded.
#[derive(Debug, Clone)]
pub(crate) struct Latent {
    /// Pixels, not latent cells.
    pub width: u32,
    pub height: u32,
    /// Pictures, or frames of a film.
    pub count: u32,
    /// Seconds of sound.
    pub seconds: f64,
    /// What was encoded, as long as nothing was sampled since.
    pub source: Option<Arc<Vec<Picture>>>,
}

impl Data {
    pub(crate) fn pictures(&self) -> Option<Arc<Vec<Picture>>> {
        match self {
            Self::Images(pictures) | Self::Masks(pictures) | Self::Video { frames: pictures, .. } => {
                Some(Arc::clone(pictures))
            }
            _ => None,
        }
    }

    pub(crate) fn latent(&self) -> Option<&Latent> {
        if let Self::Latent(latent) = self { Some(latent) } else { None }
    }
}
