//! Other programs, run with a limit on their time and on what is kept of their words.

use std::{
    ffi::OsStr,
    fmt,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};

/// How much of what a program writes is kept, in bytes. What follows is read and dropped.
const KEPT: usize = 8 << 20;

/// How many of a program's last lines are told.
const TOLD: usize = 20;

/// How long output is awaited that something holds open after its program has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// Variables of this program's own environment that other programs have no business with.
const OURS: &str = "COMFYPORT_";

/// What became of a program.
#[derive(Debug)]
pub(crate) struct Finished {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It cannot be started.
    #[error("`{tool}` cannot be started ({error}): is it installed?")]
    Start {
        /// Which.
        tool: String,
        /// Why.
        error: std::io::Error,
    },
    /// It took too long, and was ended.
    #[error("`{tool}` took longer than {seconds} s and was ended")]
    Late {
        /// Which.
        tool: String,
        /// How long it was given.
        seconds: u64,
    },
    /// It failed.
    #[error("`{tool}` failed: {said}")]
    Failed {
        /// Which.
        tool: String,
        /// The last of what it said.
        said: String,
    },
}

/// A program to run.
pub(crate) struct Tool {
    name: String,
    command: Command,
    limit: Duration,
}

impl fmt::Debug for Tool {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Tool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tool {
    /// A program, called `name` where it is spoken of.
    pub(crate) fn new(program: &Path, name: &str, limit: Duration) -> Self {
        Self { name: name.to_owned(), command: command(program), limit }
    }

    pub(crate) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, variable: &str) -> Self {
        self.command.env_remove(variable);
        self
    }

    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to its end, with whatever it says.
    pub(crate) async fn finish(mut self) -> Result<Finished, ToolError> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.start()?;
        let stdout = Words::of(child.process.stdout.take());
        let stderr = Words::of(child.process.stderr.take());
        let Ok(status) = timeout(self.limit, child.process.wait()).await else { return Err(self.late()) };
        let status = status.map_err(|error| ToolError::Start { tool: self.name.clone(), error })?;
        Ok(Finished { status, stdout: stdout.all().await, stderr: stderr.all().await })
    }

    /// Runs it to its end, which has to be a good one.
    pub(crate) async fn succeed(self) -> Result<Finished, ToolError> {
        let tool = self.name.clone();
        let finished = self.finish().await?;
        if finished.is_success() {
            return Ok(finished);
        }
        Err(ToolError::Failed { tool, said: finished.told() })
    }

    /// Runs it to its end, without its words: whatever it leaves running may go on.
    pub(crate) async fn launch(mut self) -> Result<(), ToolError> {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = self.start()?;
        let Ok(status) = timeout(self.limit, child.process.wait()).await else { return Err(self.late()) };
        child.let_go();
        let status = status.map_err(|error| ToolError::Start { tool: self.name.clone(), error })?;
        if status.success() {
            return Ok(());
        }
        Err(ToolError::Failed { tool: self.name, said: status.to_string() })
    }

    /// Starts it and everything it starts in a group of its own.
    fn start(&mut self) -> Result<Group, ToolError> {
        let process =
            self.command.spawn().map_err(|error| ToolError::Start { tool: self.name.clone(), error })?;
        Ok(Group::of(process))
    }

    fn late(&self) -> ToolError {
        ToolError::Late { tool: self.name.clone(), seconds: self.limit.as_secs() }
    }
}

impl Finished {
    pub(crate) fn is_success(&self) -> bool {
        self.status.success()
    }

    /// The last of what it said, for people.
    pub(crate) fn told(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let told = last_lines(said, TOLD);
        if told.is_empty() { self.status.to_string() } else { told }
    }
}

/// A program that will be the head of a group of its own, without what it need not know.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os() {
        if variable.to_str().is_some_and(|name| name.starts_with(OURS)) {
            command.env_remove(variable);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    command
}

/// The last lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

/// A process and all that it started. They are ended together when this is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) process: Child,
    id: Option<u32>,
}

impl Group {
    /// Of a process that was started as the head of a group.
    pub(crate) fn of(process: Child) -> Self {
        let id = process.id();
        Self { process, id }
    }

    /// Leaves what is still running alone.
    pub(crate) fn let_go(&mut self) {
        self.id = None;
    }

    /// Asks all of them to end.
    pub(crate) fn ask_to_end(&self) {
        #[cfg(unix)]
        self.signal(rustix::process::Signal::TERM);
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.id.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // They may have ended by themselves.
            let _ = rustix::process::kill_process_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        self.signal(rustix::process::Signal::KILL);
    }
}

/// What a program writes, as it comes.
struct Words {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Words {
    fn of(from: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let (Some(mut from), mut piece) = (from, vec![0; 16 << 10]) else { return };
            while let Ok(read @ 1..) = from.read(&mut piece).await {
                let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
                let room = KEPT.saturating_sub(kept.len()).min(read);
                kept.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
        });
        Self { kept, reader }
    }

    /// All of it. A process that was left behind may hold the other end open for ever.
    async fn all(mut self) -> String {
        if timeout(DRAIN, &mut self.reader).await.is_err() {
            self.reader.abort();
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Tool {
        Tool::new(Path::new("/bin/sh"), "sh", limit).args(["-c", script])
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        // The grandchild holds the pipe open for as long as it lives.
        let script = format!("mkfifo {0}; (exec sleep 600 > {0}) & cat {0}", fifo.display());
        let late = shell(&script, Duration::from_millis(300)).finish().await.unwrap_err();
        assert!(matches!(late, ToolError::Late { .. }), "{late}");
        let said = shell("echo out; echo first >&2; echo why >&2; exit 3", Duration::from_mins(1));
        let failed = said.succeed().await.unwrap_err().to_string();
        assert_eq!(failed, "`sh` failed: first\nwhy");
        let much = shell("yes | head -c 20000000", Duration::from_mins(1)).succeed().await.unwrap();
        assert_eq!(much.stdout.len(), KEPT);
        // Whoever is left behind keeps nobody waiting, and hides nothing.
        let left = shell("echo said; sleep 600 &", Duration::from_mins(1)).succeed().await.unwrap();
        assert_eq!(left.stdout, "said\n");
    }
}
