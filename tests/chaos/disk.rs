//! A small disk that fills up.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in memory of a few MiB. It is gone when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// Only root may have one.
    pub(crate) fn new(mebibytes: u32) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(folder.path());
        let mounted = mount.output().map_err(|error| error.to_string())?;
        if !mounted.status.success() {
            return Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned());
        }
        Ok(Self { folder })
    }

    /// Where data may lie.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes until nothing fits any more.
    pub(crate) fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).unwrap();
        // Of ever smaller pieces, so that nothing is left over.
        for size in [1 << 16, 1 << 12, 1 << 8, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Makes room again.
    pub(crate) fn clear(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let path: &Path = self.folder.path();
        // Lazily: whoever still has a file open keeps it.
        Command::new("umount").arg("-l").arg(path).status().ok();
    }
}
