//! All files of a job in one archive, stored as they are.
//!
//! The checksum of each file is read before the first byte leaves, so that every header is complete: the length of the
//! archive is known, no trailing descriptors are needed, which many programs cannot read beside stored files, and
//! nothing is held in memory. Sizes beyond 4 GiB are written as ZIP64 has them, and only those.

use std::{collections::HashSet, io};

use axum::{
    body::Body,
    http::{
        HeaderValue, Response,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
};
use bytes::Bytes;
use comfyport_store::{Job, artifacts::Artifact};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    app::AppState,
    jobs::Answer,
    problem::{Code, Problem},
};

/// The document among the files.
const DOCUMENT: &str = "result.json";

/// The largest number that the old fields hold; one that means that the new ones say it.
const OLD_MOST: u64 = 0xFFFF_FFFF;

/// An entry of an archive.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    size: u64,
    checksum: u32,
    /// Where its header is.
    offset: u64,
}

/// Answers with everything that a job yielded.
pub async fn answer(app: &AppState, job: &Job) -> Result<Response<Body>, Problem> {
    let unreadable = |error: io::Error| {
        tracing::error!(%error, job = %job.id, "an output cannot be read");
        Problem::new(Code::StorageFailed, "an output cannot be read at the moment").about(job.id)
    };
    let result = Answer::of(job).and_then(|answer| serde_json::to_vec_pretty(&answer).ok());
    let lost = || Problem::new(Code::Internal, "the result cannot be read").about(job.id);
    let document = Bytes::from(result.ok_or_else(lost)?);
    let files = app.jobs.files_of(job).await.map_err(Problem::from)?;
    let mut names = Names::new();
    let mut archive = Archive::default();
    for file in &files {
        let checksum = checksum(app, file).await.map_err(unreadable)?;
        let gone = || Problem::new(Code::OutputGone, "an output is no longer kept").about(job.id);
        archive.add(names.distinct(&file.file.filename), file.file.size, checksum.ok_or_else(gone)?);
    }
    let mut whole = flate2::Crc::new();
    whole.update(&document);
    archive.add(DOCUMENT.to_owned(), document.len() as u64, whole.sum());
    let length = archive.length();
    let mut response = Response::new(Body::from_stream(archive.stream(app, files, document)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{}.zip\"", job.id)) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// `None` if the file is gone.
async fn checksum(app: &AppState, file: &Artifact) -> io::Result<Option<u32>> {
    let Some(mut data) = app.jobs.files.read(&file.file.file, 0, file.file.size).await? else {
        return Ok(None);
    };
    let mut checksum = flate2::Crc::new();
    let mut read = 0_u64;
    while let Some(chunk) = data.try_next().await? {
        checksum.update(&chunk);
        read += chunk.len() as u64;
    }
    Ok((read == file.file.size).then(|| checksum.sum()))
}

/// Names that are not taken yet.
struct Names(HashSet<String>);

impl Names {
    fn new() -> Self {
        Self(HashSet::from([DOCUMENT.to_owned()]))
    }

    /// `image.png`, and `image_2.png` for the next one of that name. Told apart without looking at case, as some disks do.
    fn distinct(&mut self, name: &str) -> String {
        let (stem, ending) = name
            .rsplit_once('.')
            .map_or((name, String::new()), |(stem, ending)| (stem, format!(".{ending}")));
        let numbered = (2_u32..).map(|number| format!("{stem}_{number}{ending}"));
        let free =
            std::iter::once(name.to_owned()).chain(numbered).find(|name| self.0.insert(name.to_lowercase()));
        free.unwrap_or_default()
    }
}

/// An archive as it will be.
#[derive(Debug, Default)]
struct Archive {
    entries: Vec<Entry>,
    /// How long all of them are with their headers.
    end: u64,
}

impl Archive {
    fn add(&mut self, name: String, size: u64, checksum: u32) {
        let entry = Entry { name, size, checksum, offset: self.end };
        self.end += entry.header().len() as u64 + size;
        self.entries.push(entry);
    }

    /// Of all of it, in bytes.
    fn length(&self) -> u64 {
        self.end + self.directory().len() as u64
    }

    fn directory(&self) -> Vec<u8> {
        let mut out: Vec<u8> = self.entries.iter().flat_map(Entry::listed).collect();
        let (count, size) = (self.entries.len() as u64, out.len() as u64);
        if count >= 0xFFFF || self.end + size >= OLD_MOST {
            let at = self.end + size;
            let fields: [&[u8]; 9] = [
                b"PK\x06\x06",
                &44_u64.to_le_bytes(),
                &[45, 0, 45, 0],
                &[0; 8],
                &count.to_le_bytes(),
                &count.to_le_bytes(),
                &size.to_le_bytes(),
                &self.end.to_le_bytes(),
                b"PK\x06\x07",
            ];
            out.extend(fields.concat());
            out.extend([0; 4]);
            out.extend(at.to_le_bytes());
            out.extend(1_u32.to_le_bytes());
        }
        let count = u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
        let fields: [&[u8]; 7] =
            [b"PK\x05\x06", &[0; 4], &count, &count, &old(size), &old(self.end), &[0; 2]];
        out.extend(fields.concat());
        out
    }

    fn stream(
        self,
        app: &AppState,
        files: Vec<Artifact>,
        document: Bytes,
    ) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
        let directory = Bytes::from(self.directory());
        let mut headers: Vec<Bytes> = self.entries.iter().map(|entry| entry.header().into()).collect();
        let last = headers.pop().unwrap_or_default();
        let app = app.clone();
        let contents = stream::iter(headers.into_iter().zip(files)).then(move |(header, file)| {
            let app = app.clone();
            async move {
                let data = app.jobs.files.read(&file.file.file, 0, file.file.size).await;
                // Its length was promised: without the file the connection breaks off.
                let data = data.and_then(|data| data.ok_or_else(|| io::ErrorKind::NotFound.into()));
                let header = stream::once(async { Ok::<_, io::Error>(header) });
                match data {
                    Ok(data) => header.chain(data).left_stream(),
                    Err(error) => stream::once(async { Err(error) }).right_stream(),
                }
            }
        });
        contents.flatten().chain(stream::iter([Ok(last), Ok(document), Ok(directory)]))
    }
}

/// A number in a field of the old format.
fn old(number: u64) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

impl Entry {
    fn is_large(&self) -> bool {
        self.size >= OLD_MOST
    }

    /// Version needed, flags (names are UTF-8), method (stored), 1 January 1980, checksum and both sizes.
    fn facts(&self, is_new: bool) -> Vec<u8> {
        let version: u8 = if is_new { 45 } else { 20 };
        let size = if self.is_large() { [0xFF; 4] } else { old(self.size) };
        let fields: [&[u8]; 5] = [
            &[version, 0, 0, 8, 0, 0, 0, 0, 0x21, 0],
            &self.checksum.to_le_bytes(),
            &size,
            &size,
            &short(self.name.len()),
        ];
        fields.concat()
    }

    fn header(&self) -> Vec<u8> {
        let mut extra = Vec::new();
        if self.is_large() {
            let sizes = [self.size.to_le_bytes(), self.size.to_le_bytes()].concat();
            extra = [&[1, 0, 16, 0][..], &sizes].concat();
        }
        let facts = self.facts(self.is_large());
        [b"PK\x03\x04", &facts[..], &short(extra.len()), self.name.as_bytes(), &extra].concat()
    }

    /// Its place in the directory.
    fn listed(&self) -> Vec<u8> {
        let mut numbers = Vec::new();
        if self.is_large() {
            numbers.extend([self.size.to_le_bytes(), self.size.to_le_bytes()].concat());
        }
        if self.offset >= OLD_MOST {
            numbers.extend(self.offset.to_le_bytes());
        }
        let mut extra = Vec::new();
        if !numbers.is_empty() {
            extra = [&[1, 0][..], &short(numbers.len()), &numbers].concat();
        }
        let offset = if self.offset >= OLD_MOST { [0xFF; 4] } else { old(self.offset) };
        let facts = self.facts(!extra.is_empty());
        let fields: [&[u8]; 7] = [
            b"PK\x01\x02\x2D\0",
            &facts,
            &short(extra.len()),
            // No comment, the first disk, no attributes.
            &[0; 10],
            &offset,
            self.name.as_bytes(),
            &extra,
        ];
        fields.concat()
    }
}

/// Lengths of names and what belongs to them: ours are short.
fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::*;

    /// An archive of which only headers are there, as a file with holes would be.
    fn place(bytes: &mut Vec<(u64, Vec<u8>)>, archive: &Archive) {
        for entry in &archive.entries {
            bytes.push((entry.offset, entry.header()));
        }
        bytes.push((archive.end, archive.directory()));
    }

    #[test]
    fn names_are_made_distinct() {
        let mut names = Names::new();
        let given = ["a.png", "a.png", "A.PNG", "result.json", "b", "b"].map(|name| names.distinct(name));
        assert_eq!(given, ["a.png", "a_2.png", "A_3.PNG", "result_2.json", "b", "b_2"]);
    }

    #[test]
    fn archives_are_read_by_others() {
        let mut archive = Archive::default();
        let contents: [(&str, &[u8]); 3] =
            [("first.txt", b"one"), ("größer.txt", b""), ("third", &[7; 1000])];
        for (name, data) in contents {
            let mut checksum = flate2::Crc::new();
            checksum.update(data);
            archive.add(name.to_owned(), data.len() as u64, checksum.sum());
        }
        let mut bytes = Vec::new();
        for (entry, (_, data)) in archive.entries.iter().zip(contents) {
            bytes.extend(entry.header());
            bytes.extend(data);
        }
        bytes.extend(archive.directory());
        assert_eq!(bytes.len() as u64, archive.length());
        let mut read = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        for (index, (name, data)) in contents.into_iter().enumerate() {
            let mut file = read.by_index(index).unwrap();
            let mut found = Vec::new();
            file.read_to_end(&mut found).unwrap();
            assert_eq!((&*file.name().unwrap(), found.as_slice()), (name, data));
        }
    }

    #[test]
    fn what_is_larger_than_four_gibibytes_is_in_zip64() {
        let mut archive = Archive::default();
        archive.add("small".to_owned(), 10, 1);
        archive.add("large".to_owned(), 5 << 30, 2);
        archive.add("behind".to_owned(), 20, 3);
        let mut pieces = Vec::new();
        place(&mut pieces, &archive);
        let holes = Holes { pieces, length: archive.length(), at: 0 };
        let mut read = zip::ZipArchive::new(holes).unwrap();
        let sizes: Vec<(String, u64, u64)> = (0..3)
            .map(|index| {
                let file = read.by_index_raw(index).unwrap();
                (file.name().unwrap().into_owned(), file.size(), file.header_start())
            })
            .collect();
        let offset = archive.entries[2].offset;
        assert!(offset > 5 << 30);
        assert_eq!(
            sizes,
            [("small".into(), 10, 0), ("large".into(), 5 << 30, 45), ("behind".into(), 20, offset)]
        );
    }

    /// A long file of which only some pieces are there, and zeros in between.
    struct Holes {
        pieces: Vec<(u64, Vec<u8>)>,
        length: u64,
        at: u64,
    }

    impl Read for Holes {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = (self.length - self.at).min(buffer.len() as u64).min(4096);
            for (byte, at) in buffer.iter_mut().zip(self.at..self.at + count) {
                let piece = self
                    .pieces
                    .iter()
                    .find(|(start, piece)| (*start..*start + piece.len() as u64).contains(&at));
                *byte = piece.map_or(0, |(start, piece)| piece[usize::try_from(at - start).unwrap()]);
            }
            self.at += count;
            Ok(usize::try_from(count).unwrap())
        }
    }

    impl io::Seek for Holes {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.at = match to {
                io::SeekFrom::Start(at) => at,
                io::SeekFrom::End(off) => self.length.saturating_add_signed(off),
                io::SeekFrom::Current(off) => self.at.saturating_add_signed(off),
            };
            Ok(self.at)
        }
    }
}
