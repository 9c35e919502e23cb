//! Files that other programs can open, made from next to nothing.

pub(crate) mod audio;
pub(crate) mod font;
pub(crate) mod jpeg;
pub(crate) mod mesh;
pub(crate) mod mp4;
pub(crate) mod picture;
pub(crate) mod png;
pub(crate) mod webp;
