//! Processes that are started, killed, stopped, and started again where they were.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use tokio::net::TcpStream;

use crate::until;

/// Generous: a debug build on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_mins(1);

/// A `comfyport` on a port that it keeps, whatever happens to it.
pub(crate) struct Program {
    pub(crate) port: u16,
    arguments: Vec<OsString>,
    log: PathBuf,
    child: Option<Child>,
}

impl Program {
    /// Not started yet. `{port}` in an argument is the port.
    pub(crate) fn new(name: &str, folder: &Path, arguments: Vec<OsString>) -> Self {
        let port = free_port();
        let mut arguments = arguments;
        arguments.extend(["--listen".into(), format!("127.0.0.1:{port}").into()]);
        Self { port, arguments, log: folder.join(format!("{name}.log")), child: None }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(&mut self) {
        self.spawn();
        let port = self.port;
        until("a process listens", PATIENCE, async || {
            assert!(self.is_running(), "it ended instead of listening:\n{}", self.log());
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
        })
        .await;
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(crate::BINARY);
        let foreign = std::env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| name.to_string_lossy().starts_with("COMFYPORT_")) {
            command.env_remove(name);
        }
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// As a power cut would, but for what the system has in memory.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// It does nothing more until it is thawed, and notices nothing.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Asks it to end, and waits for its exit code.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        let mut child = self.child.take()?;
        let mut status = None;
        until("a process ends when asked to", PATIENCE, async || {
            status = child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.and_then(|status| status.code())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The end of what it said.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// How much memory it uses, in MB.
    pub(crate) fn memory(&self) -> f64 {
        let Some(child) = &self.child else { return 0.0 };
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// How often it said something.
    pub(crate) fn said(&self, what: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches(what).count()
    }

    fn signal(&self, name: &str) {
        let Some(child) = &self.child else { return };
        let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on, and that the system does not give to connections on their way out: it must still be free
/// after a restart.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap();
    let given = given.get_or_insert_default();
    loop {
        let port = fastrand::u16(12_000..32_000);
        if given.insert(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
