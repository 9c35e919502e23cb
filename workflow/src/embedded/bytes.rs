//! Reading bytes that may end anywhere.

/// A position in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next bytes, or `None` where there are not as many.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32_be(&mut self) -> Option<usize> {
        self.array().map(u32::from_be_bytes).and_then(|value| value.try_into().ok())
    }

    pub(super) fn u32_le(&mut self) -> Option<usize> {
        self.array().map(u32::from_le_bytes).and_then(|value| value.try_into().ok())
    }

    pub(super) fn u64_be(&mut self) -> Option<usize> {
        self.array().map(u64::from_be_bytes).and_then(|value| value.try_into().ok())
    }

    pub(super) fn u64_le(&mut self) -> Option<usize> {
        self.array().map(u64::from_le_bytes).and_then(|value| value.try_into().ok())
    }

    pub(super) fn u16_be(&mut self) -> Option<usize> {
        self.array().map(u16::from_be_bytes).map(usize::from)
    }
}

/// The bytes before and after the first of these.
pub(super) fn split_at_byte(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|one| *one == byte)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}
