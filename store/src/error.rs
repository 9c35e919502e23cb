//! Why the store did not do what it was asked.

/// Why the store did not do what it was asked. Nothing was changed, except where a variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk of the database is full. It may be tried again once there is room.
    #[error("the disk of the job store is full")]
    Full,
    /// The database cannot be reached or written now. It may be tried again.
    #[error("the job store is not available: {0}")]
    Unavailable(String),
    /// Others changed the same things at the same time, again and again.
    #[error("the job store is too busy")]
    Contended,
    /// The file is not a database of ours, or is damaged.
    #[error("{0}")]
    Unusable(String),
    /// What the database holds, or answered, is not what was written: a fault of this program or of the disk.
    #[error("the job store answered nonsense: {0}")]
    Nonsense(String),
}

impl StoreError {
    /// Whether the same may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Full | Self::Unavailable(_) | Self::Contended => true,
            Self::Unusable(_) | Self::Nonsense(_) => false,
        }
    }
}
