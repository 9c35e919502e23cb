//! Starting the real binary and talking to it.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::{RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

const SIMULATED: [&str; 4] = ["serve", "--simulate", "--listen", "127.0.0.1:0"];

/// A running `comfyport`, killed when dropped.
pub(crate) struct Comfyport {
    child: Child,
    url: String,
    http: reqwest::Client,
    log: Arc<Mutex<String>>,
    data: tempfile::TempDir,
}

/// What came back, with the body read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A client, also where no server was started before.
pub(crate) fn http() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::new()
}

impl Comfyport {
    /// The server with its embedded simulator.
    pub(crate) fn simulated() -> Self {
        Self::simulated_with(&[])
    }

    /// The same, with settings: `("COMFYPORT_SERVER_HEADER_TIMEOUT_S", "1")`.
    pub(crate) fn simulated_with(settings: &[(&str, &str)]) -> Self {
        Self::start(command(&SIMULATED), true, settings)
    }

    /// The same, with its data in a folder that outlasts it.
    pub(crate) fn simulated_in(data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = command(&SIMULATED);
        command.arg("--data-dir").arg(data);
        Self::start(command, false, settings)
    }

    /// The same, at an address of choice.
    pub(crate) fn simulated_at(listen: &str, data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = command(&["serve", "--simulate", "--listen", listen]);
        command.arg("--data-dir").arg(data);
        Self::start(command, false, settings)
    }

    /// The server of another project with its embedded simulator, and settings.
    pub(crate) fn simulated_of(binary: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start(command_of(binary, &SIMULATED), true, settings)
    }

    /// The server in front of a ComfyUI at `url`.
    pub(crate) fn in_front_of(url: &str) -> Self {
        Self::in_front_of_with(url, &[])
    }

    /// The same, with settings.
    pub(crate) fn in_front_of_with(url: &str, settings: &[(&str, &str)]) -> Self {
        Self::start(command(&["serve", "--listen", "127.0.0.1:0", "--comfyui-url", url]), true, settings)
    }

    /// The server in front of a ComfyUI at `url`, with its data in a folder that outlasts it, at an address of choice.
    pub(crate) fn in_front_of_in(url: &str, data: &Path, listen: &str) -> Self {
        let mut command = command(&["serve", "--listen", listen, "--comfyui-url", url]);
        command.arg("--data-dir").arg(data);
        Self::start(command, false, &[])
    }

    /// The server of another project in front of a ComfyUI at `url`.
    pub(crate) fn in_front_of_by(binary: &Path, url: &str) -> Self {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--comfyui-url", url];
        Self::start(command_of(binary, &arguments), true, &[])
    }

    /// The server with a configuration and a folder of workflows.
    pub(crate) fn serving_with(config: &Path, workflows: &Path) -> Self {
        let mut command = command(&["serve", "--listen", "127.0.0.1:0"]);
        command.arg("--config").arg(config).arg("--workflows-dir").arg(workflows);
        Self::start(command, true, &[])
    }

    /// A simulator alone, with further node definitions.
    pub(crate) fn simulator_with(object_info: &Path) -> Self {
        let object_info = object_info.to_str().unwrap();
        let arguments = ["simulate", "--listen", "127.0.0.1:0", "--object-info", object_info];
        Self::start(command(&arguments), false, &[])
    }

    /// A simulator alone.
    pub(crate) fn simulator() -> Self {
        Self::start(command(&["simulate", "--listen", "127.0.0.1:0"]), false, &[])
    }

    /// A simulator whose sampling steps take some time.
    pub(crate) fn slow_simulator(step_ms: u32) -> Self {
        let step = step_ms.to_string();
        let arguments = ["simulate", "--listen", "127.0.0.1:0", "--step-delay", &step];
        Self::start(command(&arguments), false, &[])
    }

    /// A simulator at a port that was another's before.
    pub(crate) fn simulator_at(port: u16) -> Self {
        Self::start(command(&["simulate", "--listen", &format!("127.0.0.1:{port}")]), false, &[])
    }

    /// The server in front of a ComfyUI at `url`, with data that others leave and find.
    pub(crate) fn lasting(url: &str, data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = command(&["serve", "--listen", "127.0.0.1:0", "--comfyui-url", url]);
        command.arg("--data-dir").arg(data);
        Self::start(command, false, settings)
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end, and answers its exit code.
    pub(crate) fn wait(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    fn start(mut command: Command, with_data: bool, settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        command.envs(settings.iter().copied());
        if with_data {
            command.arg("--data-dir").arg(data.path());
        }
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let url = lines.by_ref().map_while(Result::ok).find_map(|line| {
            log.lock().unwrap().push_str(&format!("{line}\n"));
            Some(line.split_once("listening on ")?.1.trim().to_owned())
        });
        let Some(url) = url else { panic!("{command:?} did not start:\n{}", log.lock().unwrap()) };
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Self { child, url, http: http(), log, data }
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its data directory, unless it was given one that outlasts it.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// A connection to it, for what no HTTP library would send. Reading gives up after a generous while.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Everything said on standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.http.delete(format!("{}{path}", self.url))
    }

    /// Waits until it has said something.
    pub(crate) async fn said(&self, what: &str) {
        while !self.log().contains(what) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many files and connections it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Posts JSON and returns the JSON of an answer that must have this status.
    pub(crate) async fn call(&self, path: &str, body: &Value, expected: u16) -> Value {
        self.expect(self.post(path).body(body.to_string()), expected).await.json()
    }

    pub(crate) async fn read(&self, path: &str, expected: u16) -> Answer {
        self.expect(self.get(path), expected).await
    }

    /// Sends a request and checks what must hold for every answer: the status, the request id, and for anything but a
    /// success a complete problem.
    pub(crate) async fn expect(&self, request: RequestBuilder, expected: u16) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = Answer { status, headers, body: response.bytes().await.unwrap().to_vec() };
        assert_eq!(answer.status.as_u16(), expected, "{}\nlog:\n{}", answer.text(), self.log());
        assert!(answer.headers.contains_key("x-request-id"), "{:?}", answer.headers);
        if status.is_client_error() || status.is_server_error() {
            answer.check_problem();
        }
        answer
    }
}

impl Drop for Comfyport {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn check_problem(&self) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        for key in ["type", "title", "status", "detail", "code", "request_id", "retryable", "source"] {
            assert!(problem.get(key).is_some(), "a problem without `{key}`: {problem}");
        }
        assert_eq!(problem["status"], self.status.as_u16());
    }
}

/// The binary with arguments, in an environment without settings of the person who runs the tests.
pub(crate) fn command(arguments: &[&str]) -> Command {
    command_of(Path::new(crate::BINARY), arguments)
}

fn command_of(binary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COMFYPORT_"))
    {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// Where Python is.
pub(crate) fn python() -> String {
    let paths = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&paths).map(|path| path.join("python3")).find(|path| path.is_file());
    found.unwrap().to_str().unwrap().to_owned()
}

/// A path in the repository.
pub(crate) fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().unwrap().to_owned()
}

/// A picture that an engine made by a workflow of ours, with the workflow in it.
pub(crate) async fn picture_of(workflow: &str) -> Vec<u8> {
    let engine = Comfyport::simulator();
    let text = std::fs::read_to_string(repository(&format!("workflow_templates/{workflow}.json"))).unwrap();
    let prompt = json!({"prompt": serde_json::from_str::<Value>(&text).unwrap()});
    let queued = engine.post("/prompt").body(prompt.to_string()).send().await.unwrap();
    let id = queued.json::<Value>().await.unwrap()["prompt_id"].as_str().unwrap().to_owned();
    for _ in 0..500 {
        let history = engine.get(&format!("/history/{id}")).send().await.unwrap();
        let history: Value = history.json().await.unwrap();
        let outputs = history[&id]["outputs"].as_object();
        let saved = outputs.and_then(|outputs| outputs.values().find_map(|node| node["images"].get(0)));
        if let Some(image) = saved {
            let at = |key: &str| format!("{key}={}", image[key].as_str().unwrap());
            let view = format!("/view?{}&{}&{}", at("filename"), at("subfolder"), at("type"));
            return engine.get(&view).send().await.unwrap().bytes().await.unwrap().to_vec();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{}", engine.log());
}
