//! Folders of workflows, and what the build script makes of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A project in a folder of its own, gone when dropped.
pub(crate) struct Project {
    root: tempfile::TempDir,
}

/// What a build said.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) ok: bool,
    /// To cargo.
    pub(crate) out: String,
    /// To people.
    pub(crate) err: String,
}

impl Project {
    /// With these files in its folder of workflows.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let project = Self { root: tempfile::tempdir().unwrap() };
        fs::create_dir(project.root.path().join("out")).unwrap();
        fs::create_dir(project.folder()).unwrap();
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    /// The folder of workflows.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join("workflow_templates")
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap()
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.folder().join(name)).unwrap();
    }

    /// A file that the build script wrote.
    pub(crate) fn generated(&self, name: &str) -> String {
        fs::read_to_string(self.root.path().join("out").join(name)).unwrap()
    }

    /// Runs the build script as cargo would.
    pub(crate) fn build(&self) -> Built {
        self.build_with(&[])
    }

    pub(crate) fn build_with(&self, settings: &[(&str, &str)]) -> Built {
        let mut command = Command::new(env!("CARGO_BIN_EXE_project-build"));
        command.env_remove("COMFYPORT_WORKFLOWS").env_remove("COMFYPORT_LOCK");
        command.env("CARGO_MANIFEST_DIR", self.root.path()).env("OUT_DIR", self.root.path().join("out"));
        let output = command.envs(settings.iter().copied()).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Built { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A file of this project's own folder of workflows.
pub(crate) fn own(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflow_templates").join(name);
    path.to_str().unwrap().to_owned()
}
