//! The processes under measurement.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// A child process that listens somewhere; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) url: String,
    data: Option<tempfile::TempDir>,
}

impl Process {
    pub(crate) fn simulator() -> Self {
        Self::simulator_with(&[])
    }

    pub(crate) fn simulator_with(arguments: &[&str]) -> Self {
        let mut command = comfyport(&["simulate", "--listen", "127.0.0.1:0"]);
        command.args(arguments);
        Self::spawn(command, None)
    }

    pub(crate) fn server(comfyui: &str) -> Self {
        Self::server_with(&[comfyui], &[])
    }

    /// In front of several engines, with settings such as `("COMFYPORT_JOBS_MAX_QUEUED", "10")`.
    pub(crate) fn server_with(engines: &[&str], settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command =
            comfyport(&["serve", "--listen", "127.0.0.1:0", "--comfyui-url", &engines.join(",")]);
        command.arg("--data-dir").arg(data.path()).envs(settings.iter().copied());
        Self::spawn(command, Some(data))
    }

    /// In front of an engine, with keys of callers of these names, who may come as often as they like.
    pub(crate) fn server_with_keys(engine: &str, names: &[&str]) -> (Self, Vec<String>) {
        let data = tempfile::tempdir().unwrap();
        let create = |name: &&str| {
            let mut command = comfyport(&["keys", "create", name, "--data-dir"]);
            let made = command.arg(data.path()).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            String::from_utf8(made.stdout).unwrap().trim().to_owned()
        };
        let keys = names.iter().map(create).collect();
        let mut command = comfyport(&["serve", "--listen", "127.0.0.1:0", "--comfyui-url", engine]);
        command.arg("--data-dir").arg(data.path());
        command.env("COMFYPORT_ACCESS_WRONG_KEYS_PER_MINUTE", "100000000");
        (Self::spawn(command, Some(data)), keys)
    }

    /// The data directory of a server.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.data.as_ref().unwrap().path().to_owned()
    }

    pub(crate) fn echo() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--echo");
        Self::spawn(command, None)
    }

    /// Waits for the line that names the address; everything else it says is drained in the background.
    fn spawn(mut command: Command, data: Option<tempfile::TempDir>) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("listening on ")?.1.trim().to_owned()))
            .expect("the process names its address");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { pid: child.id(), child, url, data }
    }

    pub(crate) async fn first_health(&self) {
        let answer = reqwest::get(format!("{}/health", self.url)).await.unwrap();
        assert!(answer.status().is_success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn comfyport(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_comfyport"));
    command.args(arguments);
    command
}

/// A bare axum JSON echo, for scale.
pub(crate) fn echo_server() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let echo = |axum::Json(body): axum::Json<serde_json::Value>| async move { axum::Json(body) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        eprintln!("listening on http://{}", listener.local_addr().unwrap());
        axum::serve(listener, axum::Router::new().route("/", axum::routing::post(echo))).await.unwrap();
    });
}

/// User and system time of a process so far, from `/proc/<pid>/stat` (100 ticks a second on Linux).
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// The largest resident size a process has had.
pub(crate) fn peak_memory_mb(pid: u32) -> f64 {
    status_mb(pid, "VmHWM")
}

/// The resident size of a process.
pub(crate) fn memory_mb(pid: u32) -> f64 {
    status_mb(pid, "VmRSS")
}

/// How many bytes a process had written to files that lie on a disk.
pub(crate) fn written(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap()
}

fn status_mb(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
