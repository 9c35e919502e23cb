//! Archives of the registry, which anybody may have made.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use zip::ZipArchive;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct ArchiveLimits {
    /// The archive itself, in bytes. Default 512 MiB.
    pub packed: u64,
    /// All that is in it, in bytes. Default 2 GiB.
    pub unpacked: u64,
    /// How many files and folders. Default 50 000.
    pub entries: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { packed: 512 << 20, unpacked: 2 << 30, entries: 50_000 }
    }
}

/// The longest path in an archive, in bytes.
const LONGEST: usize = 1024;

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no zip archive.
    #[error("its archive cannot be read: {0}")]
    Form(#[from] zip::result::ZipError),
    /// A path leads out of the folder of the pack, or to where git or ComfyUI keep their own.
    #[error("its archive holds `{0}`, which is no path for a file of a pack")]
    Path(String),
    /// Something that is no file.
    #[error("its archive holds `{0}`, which is a link or a device")]
    Special(String),
    /// Too many of them.
    #[error("its archive holds more than {0} files")]
    Entries(usize),
    /// Too much of it.
    #[error("its archive holds more than {0} bytes")]
    Unpacked(u64),
    /// It cannot be written.
    #[error("its archive cannot be unpacked: {0}")]
    Io(#[from] io::Error),
}

/// Unpacks an archive into an empty folder. It answers the names in it, in their order.
pub(crate) fn unpack(archive: File, into: &Path, limits: ArchiveLimits) -> Result<Vec<String>, ArchiveError> {
    let mut archive = ZipArchive::new(archive)?;
    if archive.len() > limits.entries {
        return Err(ArchiveError::Entries(limits.entries));
    }
    let mut room = limits.unpacked;
    let mut names = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        if !is_path(name.strip_suffix('/').unwrap_or(&name)) {
            return Err(ArchiveError::Path(name.escape_debug().take(200).collect()));
        }
        let kind = entry.unix_mode().map_or(0, |mode| mode & 0o17_0000);
        if entry.is_symlink() || !matches!(kind, 0 | 0o10_0000 | 0o4_0000) {
            return Err(ArchiveError::Special(name));
        }
        let path = into.join(&name);
        if entry.is_dir() {
            fs::create_dir_all(&path)?;
        } else {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            // One path twice is two files, of which a reader may see the one and a checker the other.
            let mut file = File::create_new(&path)?;
            // What an entry says of its length is not what it unfolds to.
            let written = io::copy(&mut (&mut entry).take(room.saturating_add(1)), &mut file)?;
            room = room.checked_sub(written).ok_or(ArchiveError::Unpacked(limits.unpacked))?;
        }
        names.push(name);
    }
    Ok(names)
}

fn is_path(name: &str) -> bool {
    name.len() <= LONGEST
        && !name.contains(['\\', ':'])
        && !name.contains(char::is_control)
        && name.split('/').all(|part| {
            // Names that some systems take for others.
            let bare = part.trim_end_matches(['.', ' ']);
            !bare.is_empty() && bare == part && !part.eq_ignore_ascii_case(".git") && part.len() <= 255
        })
        && name != ".tracking"
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    const LIMITS: ArchiveLimits = ArchiveLimits { packed: 1 << 20, unpacked: 1 << 20, entries: 8 };

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<Vec<String>, ArchiveError>) {
        let folder = tempfile::tempdir().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        fs::create_dir(folder.path().join("pack")).unwrap();
        let names = unpack(file, &folder.path().join("pack"), LIMITS);
        (folder, names)
    }

    #[test]
    fn files_are_where_their_names_say() {
        let (folder, names) = unpacked(&archive(&[("a.py", b"x"), ("js/", b""), ("js/b.js", b"yy")]));
        assert_eq!(names.unwrap(), ["a.py", "js/", "js/b.js"]);
        assert_eq!(fs::read(folder.path().join("pack/js/b.js")).unwrap(), b"yy");
    }

    #[test]
    fn nothing_gets_out() {
        for name in [
            "../evil.py",
            "a/../../evil.py",
            "/evil.py",
            "a//b",
            "./a",
            "c:/evil.py",
            "a\\..\\..\\evil.py",
            "..",
            ".. /evil.py",
            ".git/config",
            "sub/.GIT/hooks/post-checkout",
            ".tracking",
            "a\nb",
            "a\0b",
        ] {
            let (folder, names) = unpacked(&archive(&[("ok.py", b""), (name, b"x")]));
            assert!(matches!(names, Err(ArchiveError::Path(_))), "{name}: {names:?}");
            let outside = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(outside, 1, "{name}");
        }
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.add_symlink("link", "/etc", SimpleFileOptions::default()).unwrap();
        writer.start_file("link/passwd", SimpleFileOptions::default()).unwrap();
        let (_folder, names) = unpacked(&writer.finish().unwrap().into_inner());
        assert!(matches!(names, Err(ArchiveError::Special(_))), "{names:?}");
        // What is a file cannot be a folder for another.
        let (_folder, names) = unpacked(&archive(&[("a", b""), ("a/b", b"")]));
        assert!(matches!(names, Err(ArchiveError::Io(_))), "{names:?}");
    }

    #[test]
    fn nothing_unfolds_without_end() {
        let zeros = vec![0; (1 << 20) + 1];
        let packed = archive(&[("zeros", &zeros)]);
        assert!(packed.len() < 8192, "{}", packed.len());
        let (folder, names) = unpacked(&packed);
        assert!(matches!(names, Err(ArchiveError::Unpacked(_))), "{names:?}");
        let written = fs::metadata(folder.path().join("pack/zeros")).unwrap().len();
        assert!(written <= LIMITS.unpacked + 1);
        // The same with a length that lies: eleven bytes, say both headers.
        let mut lying = packed;
        let length = u32::try_from(zeros.len()).unwrap().to_le_bytes();
        for at in 0..lying.len() - 4 {
            if lying[at..at + 4] == length {
                lying[at..at + 4].copy_from_slice(&11_u32.to_le_bytes());
            }
        }
        let (folder, names) = unpacked(&lying);
        assert!(names.is_err(), "{names:?}");
        let written = fs::metadata(folder.path().join("pack/zeros")).map_or(0, |file| file.len());
        assert!(written <= LIMITS.unpacked + 1);
        let many: Vec<String> = (0..9).map(|number| number.to_string()).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
        assert!(matches!(unpacked(&archive(&many)).1, Err(ArchiveError::Entries(8))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_arrives_stays_inside(mut bytes in Just(archive(&[("a/b.py", b"hello"), ("c", b"there")])),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let (folder, _names) = unpacked(&bytes);
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
