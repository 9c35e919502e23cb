//! How much of a request is accepted.

/// Limits on single values; the size of the whole body is the server's to limit.
#[derive(Debug, Clone, Copy)]
pub struct DecodeLimits {
    /// The deepest nesting of JSON.
    pub depth: usize,
    /// The most faults that are reported.
    pub faults: usize,
    /// The largest file in base64, in decoded bytes.
    pub media_bytes: usize,
}

impl Default for DecodeLimits {
    /// 64 levels, 100 faults, 64 MiB.
    fn default() -> Self {
        Self { depth: 64, faults: 100, media_bytes: 64 << 20 }
    }
}
