//! Files as ComfyUI leaves them, with texts of the test's own: pictures, a sound, a film and a mesh.

use std::io::Write as _;

use flate2::{Compression, Crc, write::ZlibEncoder};

/// A way of putting texts into a file: its name, the ending such files have, and how it is made.
pub(crate) struct Container {
    pub(crate) name: &'static str,
    pub(crate) ending: &'static str,
    pub(crate) make: fn(&[(&str, &str)]) -> Vec<u8>,
}

/// Every kind that a folder of workflows may hold besides JSON.
pub(crate) const CONTAINERS: &[Container] = &[
    Container { name: "png-plain", ending: "png", make: |texts| png(&each(texts, png_plain)) },
    Container { name: "png-compressed", ending: "png", make: |texts| png(&each(texts, png_compressed)) },
    Container {
        name: "png-international",
        ending: "png",
        make: |texts| png(&each(texts, png_international)),
    },
    Container { name: "webp", ending: "webp", make: webp },
    Container { name: "flac", ending: "flac", make: flac },
    Container { name: "mp4-keys", ending: "mp4", make: mp4 },
    Container { name: "mp4-comment", ending: "mp4", make: mp4_comment },
    Container { name: "glb", ending: "glb", make: glb },
];

fn each(texts: &[(&str, &str)], chunk: fn(&str, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    texts.iter().map(|(key, text)| chunk(key, text.as_bytes())).collect()
}

fn be(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}

fn le(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_le_bytes()
}

pub(crate) fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A stream that unfolds to so many MiB of spaces and was made from one.
pub(crate) fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut compressor = flate2::Compress::new(Compression::best(), true);
    let spaces = vec![b' '; 1 << 20];
    let mut block = || {
        let mut packed = Vec::with_capacity(1 << 16);
        compressor.compress_vec(&spaces, &mut packed, flate2::FlushCompress::Full).unwrap();
        packed
    };
    // After a full flush a block refers to nothing before it, so that it can be repeated.
    let (first, second) = (block(), block());
    [first, second.repeat(mebibytes - 1)].concat()
}

pub(crate) fn png_chunk(kind: &[u8], content: &[u8]) -> Vec<u8> {
    let mut checksum = Crc::new();
    checksum.update(kind);
    checksum.update(content);
    [be(content.len()).as_slice(), kind, content, &checksum.sum().to_be_bytes()].concat()
}

pub(crate) fn png_plain(key: &str, text: &[u8]) -> Vec<u8> {
    png_chunk(b"tEXt", &[key.as_bytes(), b"\0", text].concat())
}

pub(crate) fn png_compressed(key: &str, text: &[u8]) -> Vec<u8> {
    png_folded(key, &deflated(text))
}

/// A compressed text from a stream that is made already.
pub(crate) fn png_folded(key: &str, stream: &[u8]) -> Vec<u8> {
    png_chunk(b"zTXt", &[key.as_bytes(), b"\0\0", stream].concat())
}

fn png_international(key: &str, text: &[u8]) -> Vec<u8> {
    png_chunk(b"iTXt", &[key.as_bytes(), b"\0\x01\0en\0\0", &deflated(text)].concat())
}

/// One grey pixel, and these chunks before it.
pub(crate) fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = png_chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
    let (pixel, end) = (png_chunk(b"IDAT", &deflated(&[0, 128])), png_chunk(b"IEND", &[]));
    [b"\x89PNG\r\n\x1a\n".as_slice(), &header, &chunks.concat(), &pixel, &end].concat()
}

/// Chunks of a WebP file: `kind`, then what is in it.
pub(crate) fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let body: Vec<u8> = chunks
        .iter()
        .flat_map(|(kind, content)| {
            let filler = &[0][..content.len() % 2];
            [kind.as_slice(), &le(content.len()), content, filler].concat()
        })
        .collect();
    [b"RIFF".as_slice(), &le(body.len() + 4), b"WEBP", &body].concat()
}

/// One directory with a text for each tag, written as `key:text`.
pub(crate) fn exif(texts: &[(&str, &str)]) -> Vec<u8> {
    let joined: Vec<String> = texts.iter().map(|(key, text)| format!("{key}:{text}\0")).collect();
    let mut at = 8 + 2 + joined.len() * 12 + 4;
    let mut directory = u16::try_from(joined.len()).unwrap().to_le_bytes().to_vec();
    for (tag, text) in (0x010F_u16..).zip(&joined) {
        directory.extend([tag.to_le_bytes(), 2_u16.to_le_bytes()].concat());
        directory.extend([le(text.len()), le(at)].concat());
        at += text.len();
    }
    [b"II*\0\x08\0\0\0".as_slice(), &directory, &[0; 4], joined.concat().as_bytes()].concat()
}

fn webp(texts: &[(&str, &str)]) -> Vec<u8> {
    let pixel = [0x2F, 0, 0, 0, 0, 0x07, 0x10, 0xFD, 0x8F, 0xFE, 0x07, 0x22, 0xA2, 0xFF, 0x01];
    riff(&[(b"VP8X", &[8, 0, 0, 0, 0, 0, 0, 0, 0, 0]), (b"VP8L", &pixel), (b"EXIF", &exif(texts))])
}

/// A FLAC file without sound; the blocks as they are, after the one that describes the stream.
pub(crate) fn flac_blocks(blocks: &[u8]) -> Vec<u8> {
    [b"fLaC\0\0\0\x22".as_slice(), &[0; 34], blocks].concat()
}

fn flac(texts: &[(&str, &str)]) -> Vec<u8> {
    let vendor = b"test";
    let mut comments = [le(vendor.len()).as_slice(), vendor, &le(texts.len())].concat();
    for (key, text) in texts {
        comments.extend(
            [le(key.len() + 1 + text.len()).as_slice(), key.as_bytes(), b"=", text.as_bytes()].concat(),
        );
    }
    let length = be(comments.len());
    flac_blocks(&[[0x84, length[1], length[2], length[3]].as_slice(), &comments].concat())
}

pub(crate) fn atom(kind: &[u8], content: &[u8]) -> Vec<u8> {
    [be(content.len() + 8).as_slice(), kind, content].concat()
}

/// A film without pictures whose metadata is this.
pub(crate) fn film(metadata: &[Vec<u8>]) -> Vec<u8> {
    let handler = atom(b"hdlr", &[[0; 8].as_slice(), b"mdta", &[0; 13]].concat());
    let meta = atom(b"meta", &[[0; 4].as_slice(), &handler, &metadata.concat()].concat());
    let moov = atom(b"moov", &[atom(b"mvhd", &[0; 100]), atom(b"udta", &meta)].concat());
    [atom(b"ftyp", b"isom\0\0\x02\0isomiso2"), atom(b"free", &[]), atom(b"mdat", &[0; 64]), moov].concat()
}

fn data(text: &[u8]) -> Vec<u8> {
    atom(b"data", &[b"\0\0\0\x01\0\0\0\0", text].concat())
}

fn mp4(texts: &[(&str, &str)]) -> Vec<u8> {
    let names: Vec<u8> = texts.iter().flat_map(|(key, _)| atom(b"mdta", key.as_bytes())).collect();
    let keys = atom(b"keys", &[[0; 4].as_slice(), &be(texts.len()), &names].concat());
    let items = (1..).zip(texts).flat_map(|(number, (_, text))| atom(&be(number), &data(text.as_bytes())));
    film(&[keys, atom(b"ilst", &items.collect::<Vec<u8>>())])
}

/// Both texts in one comment, as nodes do that save films.
fn mp4_comment(texts: &[(&str, &str)]) -> Vec<u8> {
    let members: Vec<String> = texts.iter().map(|(key, text)| format!("\"{key}\":{text}")).collect();
    let comment = format!("{{{}}}", members.join(","));
    film(&[atom(b"ilst", &atom(b"\xa9cmt", &data(comment.as_bytes())))])
}

/// A mesh whose description is this JSON.
pub(crate) fn mesh(description: &[u8]) -> Vec<u8> {
    let padding = vec![b' '; description.len().next_multiple_of(4) - description.len()];
    let length = description.len() + padding.len();
    let header = [b"glTF\x02\0\0\0".as_slice(), &le(12 + 8 + length + 8), &le(length), b"JSON"].concat();
    [header.as_slice(), description, &padding, b"\0\0\0\0BIN\0"].concat()
}

fn glb(texts: &[(&str, &str)]) -> Vec<u8> {
    let extras: serde_json::Map<String, serde_json::Value> =
        texts.iter().map(|(key, text)| ((*key).to_owned(), (*text).into())).collect();
    mesh(serde_json::json!({"asset": {"version": "2.0", "extras": extras}}).to_string().as_bytes())
}
