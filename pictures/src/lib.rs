//! Pictures: bytes in, bytes out.
//!
//! A picture is judged by its header before anything is decoded ([`Header`]), decoded within limits and turned the way
//! its camera was held ([`Picture`]), changed as somebody wishes ([`Wish`]) and written in another format
//! ([`Conversion`]). Nothing is read from a disk or a network here.
//!
//! - **Depth.** 16 bits a channel stay 16 bits until a format is written that has 8, and are rounded then.
//! - **Colour profiles** (ICC) are kept in PNG, JPEG and WebP if they fit the channels; AVIF is written without.
//! - **Sizes** are changed in the picture's own encoding, as Pillow and with it ComfyUI do, with colours weighted by
//!   their opacity: what is invisible does not bleed into what is not.

mod colour;
mod convert;
mod decode;
mod encode;
mod exif;
mod fault;
mod format;
mod frames;
mod geometry;
mod header;
mod read;
mod shape;
mod wish;

pub use colour::Colour;
pub use convert::{Conversion, Made, Metadata, Thumbnail};
pub use decode::{Picture, is_turned};
pub use encode::{Codec, Preset, Webp};
pub use fault::{Fault, MemberFault};
pub use format::Format;
pub use header::{Frames, Header, Limits};
pub use read::Read;
pub use wish::{Alpha, Background, Crop, Fit, Position, Resize, Wish};
