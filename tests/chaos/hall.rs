//! Servers, engines, and the ways between them.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::{clients, ledger::Ledger, program::Program, proxy::Proxy, sink::Sink};

/// Prompts of ours that an engine may have at once.
pub(crate) const CONCURRENCY: usize = 2;

/// After so many seconds without a sign of life, other servers take over.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// Webhooks are signed; nobody here checks it.
const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What stands in a hall.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) servers: usize,
    pub(crate) engines: usize,
    /// A database that the servers share; otherwise there is one server with a file.
    pub(crate) store: Option<String>,
    /// Where the file and the outputs are, if not in the folder of the hall.
    pub(crate) data: Option<PathBuf>,
    /// Milliseconds that a sampling step takes; there are two.
    pub(crate) step_delay: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 0, servers: 1, engines: 2, store: None, data: None, step_delay: 5 }
    }
}

/// They end with this.
pub(crate) struct Hall {
    pub(crate) plan: Plan,
    pub(crate) servers: Vec<Program>,
    pub(crate) engines: Vec<Program>,
    pub(crate) ledgers: Vec<Ledger>,
    /// From servers to engines.
    pub(crate) to_engines: Vec<Proxy>,
    /// From clients to servers.
    pub(crate) to_servers: Vec<Proxy>,
    pub(crate) sink: Sink,
    pub(crate) http: reqwest::Client,
    folder: tempfile::TempDir,
}

impl Hall {
    pub(crate) async fn open(plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut hall = Self {
            servers: Vec::new(),
            engines: Vec::new(),
            ledgers: Vec::new(),
            to_engines: Vec::new(),
            to_servers: Vec::new(),
            sink: Sink::new(plan.seed + 200).await,
            http: clients::http(),
            plan,
            folder,
        };
        for index in 0..hall.plan.engines {
            hall.add_engine(index).await;
        }
        let config = hall.configure();
        for index in 0..hall.plan.servers {
            let data = hall.plan.data.clone();
            let data = data.unwrap_or_else(|| hall.folder.path().join(format!("data-{index}")));
            let mut arguments = vec!["serve".into(), "--config".into(), config.clone().into_os_string()];
            arguments.extend(["--data-dir".into(), data.into_os_string()]);
            let mut server = Program::new(&format!("server-{index}"), hall.folder.path(), arguments);
            server.start().await;
            hall.to_servers.push(Proxy::new(server.port, hall.plan.seed + 100 + index as u64).await);
            hall.servers.push(server);
        }
        hall
    }

    async fn add_engine(&mut self, index: usize) {
        let ledger = self.folder.path().join(format!("engine-{index}.ledger"));
        let delay = self.plan.step_delay.to_string();
        let arguments = ["simulate".into(), "--step-delay".into(), delay.into(), "--ledger".into()];
        let arguments = arguments.into_iter().chain([ledger.clone().into_os_string()]).collect();
        let mut engine = Program::new(&format!("engine-{index}"), self.folder.path(), arguments);
        engine.start().await;
        self.to_engines.push(Proxy::new(engine.port, self.plan.seed + index as u64).await);
        self.ledgers.push(Ledger::new(&ledger));
        self.engines.push(engine);
    }

    fn configure(&self) -> PathBuf {
        let mut text = format!(
            "[engines]\npoll_ms = 50\nidle_poll_ms = 100\neject_s = 1\neject_max_s = 1\nflap_count = 1000\n\
             interrupt_grace_s = 2\n[server]\nshutdown_timeout_s = 20\n[store]\nlease_s = {}\n\
             url = {:?}\n\
             [webhooks]\nallow = [{:?}]\nsecrets = [{SECRET:?}]\nschedule_s = {:?}\n",
            LEASE.as_secs(),
            self.plan.store.as_deref().unwrap_or_default(),
            self.sink.url(),
            [0.2; 20],
        );
        for (index, proxy) in self.to_engines.iter().enumerate() {
            text.push_str(&format!(
                "\n[[engine]]\nname = \"engine-{index}\"\nurl = \"http://127.0.0.1:{}\"\nconcurrency = {CONCURRENCY}\n",
                proxy.port
            ));
        }
        let file = self.folder.path().join("comfyport.toml");
        fs::write(&file, text).unwrap();
        file
    }

    /// Where clients find the servers.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.to_servers.iter().map(|proxy| format!("http://127.0.0.1:{}", proxy.port)).collect()
    }

    /// The data directory of the first server.
    pub(crate) fn data(&self) -> PathBuf {
        self.plan.data.clone().unwrap_or_else(|| self.folder.path().join("data-0"))
    }

    /// How many requests, answers and sockets were lost on their way.
    pub(crate) fn lost(&self) -> usize {
        self.to_engines.iter().chain(&self.to_servers).map(Proxy::lost).sum()
    }

    /// What a server that answers says; nothing if none does.
    pub(crate) async fn ask(&self, path: &str) -> Option<Value> {
        for server in &self.servers {
            if let Ok(answer) = self.http.get(format!("{}{path}", server.url())).send().await
                && answer.status().is_success()
                && let Ok(body) = answer.json().await
            {
                return Some(body);
            }
        }
        None
    }

    /// Plans faults of an engine: `{"next": […], "during": […]}`.
    pub(crate) async fn misbehave(&self, engine: usize, faults: &Value) {
        let url = format!("{}/simulator/faults", self.engines[engine].url());
        let answer = self.http.post(url).json(faults).send().await.unwrap();
        assert!(answer.status().is_success(), "{faults}: {}", answer.text().await.unwrap());
    }

    /// An engine acts out a fault at every occasion for a while.
    pub(crate) async fn misbehave_for(&self, engine: usize, kind: &str, seconds: u64) {
        self.misbehave(engine, &json!({"during": [{"seconds": seconds, "kind": kind}]})).await;
    }

    /// What everybody said last, for whoever reads of a failure.
    pub(crate) fn logs(&self) -> String {
        let all = self.servers.iter().chain(&self.engines);
        all.map(|program| format!("--- {}\n{}\n", program.url(), program.log())).collect()
    }
}
