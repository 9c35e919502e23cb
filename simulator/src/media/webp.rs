//! Writing animated WebP.

use image::{ExtendedColorType, codecs::webp::WebPEncoder};

use super::picture::Picture;

/// An animation, each frame shown for so many milliseconds. `None` if a frame is too large for the format.
pub(crate) fn animate(frames: &[Picture], milliseconds: u32) -> Option<Vec<u8>> {
    let first = frames.first()?;
    let mut body = Vec::from(*b"WEBP");
    let mut canvas = vec![0x02, 0, 0, 0];
    put_u24(first.width - 1, &mut canvas);
    put_u24(first.height - 1, &mut canvas);
    chunk(*b"VP8X", &canvas, &mut body);
    chunk(*b"ANIM", &[0, 0, 0, 0, 0, 0], &mut body);
    for frame in frames {
        let mut data = Vec::new();
        put_u24(0, &mut data);
        put_u24(0, &mut data);
        put_u24(frame.width - 1, &mut data);
        put_u24(frame.height - 1, &mut data);
        put_u24(milliseconds, &mut data);
        data.push(0x02);
        data.extend_from_slice(&still(frame)?);
        chunk(*b"ANMF", &data, &mut body);
    }
    let mut out = Vec::from(*b"RIFF");
    out.extend_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
    out.extend_from_slice(&body);
    Some(out)
}

/// The image chunk of one frame.
fn still(frame: &Picture) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let pixels = frame.to_pixels();
    WebPEncoder::new_lossless(&mut file)
        .encode(&pixels, frame.width, frame.height, ExtendedColorType::Rgb8)
        .ok()?;
    // Behind "RIFF", its length and "WEBP".
    file.get(12..).map(<[u8]>::to_vec)
}

fn put_u24(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes()[..3]);
}

fn chunk(kind: [u8; 4], data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&kind);
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(data);
    if data.len() % 2 == 1 {
        out.push(0);
    }
}

#[cfg(test)]
mod tests {
    use image::AnimationDecoder;

    use super::*;

    #[test]
    fn animations_have_their_frames() {
        let frames = [Picture::solid(10, 6, [255, 0, 0]), Picture::solid(10, 6, [0, 0, 255])];
        let file = animate(&frames, 100).unwrap();
        let decoder = image::codecs::webp::WebPDecoder::new(std::io::Cursor::new(file)).unwrap();
        let read = decoder.into_frames().collect_frames().unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].buffer().get_pixel(3, 3).0, [0, 0, 255, 255]);
    }
}
