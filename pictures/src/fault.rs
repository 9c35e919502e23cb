//! Why a picture is not read, changed or written.

/// What is wrong with a member of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFault {
    /// The names that lead to it: `["resize", "fit"]`. None: the wish as a whole.
    pub member: Vec<String>,
    /// What is wrong, and what would do.
    pub message: String,
}

impl MemberFault {
    pub(crate) fn new(member: &[&str], message: impl Into<String>) -> Self {
        Self { member: member.iter().map(|name| (*name).to_owned()).collect(), message: message.into() }
    }
}

impl std::fmt::Display for MemberFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.member.is_empty() {
            return formatter.write_str(&self.message);
        }
        write!(formatter, "`{}` {}", self.member.join("."), self.message)
    }
}

/// Why a picture is not read, changed or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its first bytes are of no picture that can be read.
    #[error("this is no PNG, JPEG, WebP, GIF, BMP or TIFF picture")]
    Unknown,
    /// Its header makes no sense, or what follows does not.
    #[error("the {format} file is damaged or cut short")]
    Damaged {
        /// What it claims to be.
        format: &'static str,
    },
    /// It is larger than allowed.
    #[error("the picture is {width} × {height}; at most {pixels} pixels and {side} on a side are accepted")]
    TooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// The most pixels accepted.
        pixels: u64,
        /// The longest side accepted.
        side: u32,
    },
    /// It would take more memory than allowed.
    #[error("the picture takes {needed} bytes when it is decoded; at most {allowed} are spent on one")]
    TooMuchMemory {
        /// Bytes that it would take.
        needed: u64,
        /// Bytes that it may take.
        allowed: u64,
    },
    /// It moves, where a still one is wanted.
    #[error("the picture is animated; a single frame is accepted")]
    Animated,
    /// Its file is of a kind that the decoder does not know.
    #[error("this kind of {format} file cannot be read")]
    Unsupported {
        /// Its format.
        format: &'static str,
    },
    /// What is asked for does not fit the picture.
    #[error("{0}")]
    Member(MemberFault),
    /// It cannot be written.
    #[error("the picture cannot be written as {format}: {why}")]
    Unwritable {
        /// The format.
        format: &'static str,
        /// Why.
        why: String,
    },
}
