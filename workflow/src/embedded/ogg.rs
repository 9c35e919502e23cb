//! Ogg: the second packet of an Opus or Vorbis stream holds comments, spread over as many pages as it needs.

use super::{bytes::Bytes, texts::Texts, vorbis};

pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"OggS")
}

pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Option<()> {
    let packet = second_packet(bytes)?;
    let comments = packet.strip_prefix(b"OpusTags").or_else(|| packet.strip_prefix(b"\x03vorbis"));
    comments.map_or(Some(()), |comments| vorbis::comments(comments, texts))
}

/// A packet is as long as its segments: those of 255 bytes are followed by more.
fn second_packet(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Bytes::new(bytes);
    let (mut packets, mut packet) = (0, Vec::new());
    loop {
        if bytes.take(4)? != b"OggS" {
            return None;
        }
        bytes.take(22)?;
        let segments = bytes.u8()?;
        for length in bytes.take(usize::from(segments))? {
            packet.extend_from_slice(bytes.take(usize::from(*length))?);
            if *length < 255 {
                packets += 1;
                if packets == 2 {
                    return Some(packet);
                }
                packet.clear();
            }
        }
    }
}
