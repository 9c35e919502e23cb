//! What is counted, for Prometheus.

use std::{fmt, time::Duration};

use comfyport_store::{State, deliveries::DeliveryState, list::Depth};
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    registry::Registry,
};

use crate::{
    jobs::JobCounter,
    pool::{EngineView, State as EngineState},
    problem::Code,
    run::Timing,
    webhooks::DeliveryCounter,
};

mod labels;
mod table;

use labels::{ByEngine, ByOutcome, ByState, ByWorkflow, Ended, Ran, Request, Retry, Transaction, Version};
use table::{Counted, PREFIX, Present};
pub use table::{Kind, Metric, all};

/// Work at an engine that this server does not have.
const OTHER: &str = "other";

/// What is as it is when somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// How much waits and runs.
    pub depth: Depth,
    /// The workflows served.
    pub workflows: Vec<String>,
    /// The time, in milliseconds since 1970.
    pub time: i64,
    /// Jobs that this server is running.
    pub in_hand: usize,
    /// Bytes of output files kept.
    pub artifact_bytes: u64,
    /// Transactions that wait to be written.
    pub backlog: usize,
    /// Commits of the job store so far.
    pub commits: u64,
    /// The engines, and how often each was ejected.
    pub engines: Vec<(EngineView, u64)>,
}

/// What the server counts.
pub struct Metrics {
    registry: Registry,
    counted: Counted,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let counted = Counted::register(&mut registry);
        Self { registry, counted }
    }
}

impl Metrics {
    /// Counts an answer. Routes are patterns, so that callers cannot make up new series.
    pub fn answered(&self, route: &str, status: u16, elapsed: Duration) {
        self.counted.requests.get_or_create(&Request { route: route.to_owned(), status }).inc();
        self.counted.request_seconds.observe(elapsed.as_secs_f64());
    }

    /// Counts a transaction of the job store.
    pub fn stored(&self, writes: bool, took: Duration) {
        let kind = if writes { "write" } else { "read" };
        self.counted.transactions.get_or_create(&Transaction { kind }).observe(took.as_secs_f64());
    }

    /// All series as text.
    pub fn render(&self, now: &Now) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        // Anew each time: what is gone has no series any more.
        Present::register(&mut registry).fill(now);
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &registry)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

impl Present {
    fn fill(&self, now: &Now) {
        // An empty queue and an idle engine are 0, not unknown: a series that comes and goes is missed between scrapes.
        for workflow in &now.workflows {
            drop(self.queued.get_or_create(&ByWorkflow { workflow: workflow.clone() }));
        }
        for (view, _) in &now.engines {
            drop(self.running.get_or_create(&ByEngine { engine: view.name.clone() }));
        }
        for (workflow, count) in &now.depth.queued {
            self.queued.get_or_create(&ByWorkflow { workflow: workflow.clone() }).set(whole(*count));
        }
        for (engine, count) in &now.depth.running {
            let is_ours = now.engines.iter().any(|(view, _)| view.name == *engine);
            let engine = if is_ours { engine.clone() } else { OTHER.to_owned() };
            self.running.get_or_create(&ByEngine { engine }).inc_by(whole(*count));
        }
        let waited = now.depth.oldest.map_or(0, |oldest| now.time.saturating_sub(oldest).max(0));
        self.oldest.set(waited as f64 / 1e3);
        self.in_hand.set(whole(now.in_hand));
        self.webhooks.set(whole(now.depth.webhooks));
        self.backlog.set(whole(now.backlog));
        self.commits.inc_by(now.commits);
        self.artifact_bytes.set(whole(now.artifact_bytes));
        self.build.get_or_create(&Version { version: env!("CARGO_PKG_VERSION") }).set(1);
        for (view, ejections) in &now.engines {
            self.engine(view, *ejections);
        }
    }

    fn engine(&self, view: &EngineView, ejections: u64) {
        let by_engine = ByEngine { engine: view.name.clone() };
        for state in EngineState::NAMES {
            let labels = ByState { engine: view.name.clone(), state };
            self.states.get_or_create(&labels).set(i64::from(state == view.state));
        }
        self.outstanding.get_or_create(&by_engine).set(whole(view.outstanding));
        if let Some(queue) = &view.queue {
            self.foreign.get_or_create(&by_engine).set(whole(queue.foreign));
        }
        if let Some(free) = view.memory.as_ref().and_then(|memory| memory.vram_free) {
            self.vram.get_or_create(&by_engine).set(whole(free));
        }
        self.ejections.get_or_create(&by_engine).inc_by(ejections);
    }
}

impl DeliveryCounter for Metrics {
    fn tried(&self, state: DeliveryState, took: Duration) {
        self.counted.tried.get_or_create(&ByOutcome { outcome: state.as_str() }).inc();
        self.counted.try_seconds.observe(took.as_secs_f64());
    }
}

impl JobCounter for Metrics {
    fn accepted(&self, _: &str, workflow: &str) {
        self.counted.accepted.get_or_create(&ByWorkflow { workflow: workflow.to_owned() }).inc();
    }

    fn ended(&self, _: &str, workflow: &str, engine: &str, state: State, timing: Option<Timing>) {
        let (workflow, engine) = (workflow.to_owned(), engine.to_owned());
        if let Some(timing) = timing {
            let labels = Ran { workflow: workflow.clone(), engine: engine.clone() };
            let seconds = |millis: u64| Duration::from_millis(millis).as_secs_f64();
            self.counted.waited.get_or_create(&labels).observe(seconds(timing.queued_ms));
            let ran = timing.total_ms.saturating_sub(timing.queued_ms);
            self.counted.ran.get_or_create(&labels).observe(seconds(ran));
        }
        self.counted.ended.get_or_create(&Ended { workflow, engine, state: state.as_str() }).inc();
    }

    fn retried(&self, workflow: &str, code: Code) {
        let labels = Retry { workflow: workflow.to_owned(), code: code.as_str() };
        self.counted.retries.get_or_create(&labels).inc();
    }
}

/// The page that lists them.
pub fn documentation() -> String {
    let mut text = String::from(
        "# Metrics\n\n`GET /metrics` is for Prometheus, in the OpenMetrics text format. What grows begins at 0 when the server \
         starts; jobs that wait and run are counted every two seconds. Labels are workflows and engines that exist, routes as \
         patterns, and words of comfyport, never what callers send. [A dashboard](grafana/comfyport.json) for Grafana shows all \
         of it: import the file and choose the data source.\n\n\
         ```yaml\nscrape_configs:\n  - job_name: comfyport\n    static_configs:\n      - targets: [\"127.0.0.1:3000\"]\n```\n\n\
         Names begin with `comfyport_`; counters end in `_total`, histograms in `_bucket`, `_sum` and `_count`.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in all() {
        let name = match metric.kind {
            Kind::Counter => format!("{}_total", metric.name),
            Kind::Gauge | Kind::Histogram => metric.name.to_owned(),
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (metric.kind.as_str(), labels.join(", "));
        text.push_str(&format!("| `{PREFIX}_{name}` | {kind} | {labels} | {}. |\n", metric.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// `COMFYPORT_BLESS=1 cargo test -p comfyport-server` writes the page anew.
    #[test]
    fn the_documentation_lists_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("COMFYPORT_BLESS").is_some() {
            std::fs::write(path, documentation()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), documentation());
    }

    /// Something of everything.
    fn everything() -> String {
        let metrics = Metrics::default();
        metrics.answered("/jobs", 200, Duration::from_millis(1));
        metrics.stored(true, Duration::from_millis(1));
        metrics.tried(DeliveryState::Dead, Duration::from_millis(1));
        metrics.accepted("acme", "a/b");
        let timing = Timing { queued_ms: 1500, total_ms: 2500, ..Timing::default() };
        JobCounter::ended(&metrics, "acme", "a/b", "big", State::Succeeded, Some(timing));
        metrics.retried("a/b", Code::Oom);
        let view = EngineView {
            name: "big".to_owned(),
            simulated: false,
            state: "ejected",
            reason: None,
            state_for_s: 0,
            retry_in_s: None,
            drained: false,
            weight: 1.0,
            tags: Vec::new(),
            concurrency: 1,
            outstanding: 2,
            queue: Some(crate::pool::QueueView { running: 1, pending: 4, ours: 2, foreign: 3 }),
            version: None,
            memory: Some(crate::pool::MemoryView {
                vram_total: None,
                vram_free: Some(1 << 33),
                ram_total: None,
                ram_free: None,
            }),
            last_error: None,
            drift: crate::readiness::Drift::default(),
        };
        let depth = Depth {
            queued: vec![("a/b".to_owned(), 7)],
            running: vec![("big".to_owned(), 1), ("gone".to_owned(), 2), ("lost".to_owned(), 3)],
            oldest: Some(1000),
            webhooks: 5,
        };
        let now = Now {
            depth,
            workflows: vec!["a/b".to_owned(), "a/idle".to_owned()],
            time: 3500,
            in_hand: 1,
            artifact_bytes: 9,
            backlog: 2,
            commits: 3,
            engines: vec![(EngineView { name: "idle".to_owned(), ..view.clone() }, 0), (view, 4)],
        };
        metrics.render(&now).unwrap()
    }

    #[test]
    fn every_metric_has_the_series_and_labels_of_the_table() {
        let text = everything();
        for metric in all() {
            for series in metric.series() {
                let name = format!("{PREFIX}_{series}");
                let line = text.lines().find(|line| {
                    line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "))
                });
                let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
                let labels = line.split_once('{').map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
                let labels: BTreeSet<&str> = labels
                    .split(',')
                    .filter_map(|label| Some(label.split_once('=')?.0))
                    .filter(|label| *label != "le")
                    .collect();
                assert_eq!(labels, metric.labels.iter().copied().collect(), "{line}");
            }
        }
        for line in [
            "comfyport_job_wait_seconds_sum{workflow=\"a/b\",engine=\"big\"} 1.5",
            "comfyport_job_run_seconds_sum{workflow=\"a/b\",engine=\"big\"} 1.0",
            "comfyport_jobs_running{engine=\"other\"} 5",
            "comfyport_jobs_running{engine=\"big\"} 1",
            "comfyport_jobs_running{engine=\"idle\"} 0",
            "comfyport_jobs_queued{workflow=\"a/b\"} 7",
            "comfyport_jobs_queued{workflow=\"a/idle\"} 0",
            "comfyport_job_oldest_wait_seconds 2.5",
            "comfyport_engine_state{engine=\"big\",state=\"ejected\"} 1",
            "comfyport_engine_state{engine=\"big\",state=\"up\"} 0",
            "comfyport_engine_ejections_total{engine=\"big\"} 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
        let described = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(described, all().count());
        assert!(text.ends_with("# EOF\n"));
    }

    const DASHBOARD: &str = include_str!("../../docs/grafana/comfyport.json");

    fn dashboard() -> Value {
        serde_json::from_str(DASHBOARD).unwrap()
    }

    /// All values of a key, however deep.
    fn values<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get(key));
                members.values().for_each(|member| values(member, key, found));
            }
            Value::Array(items) => items.iter().for_each(|item| values(item, key, found)),
            _ => {}
        }
    }

    #[test]
    fn the_dashboard_asks_for_every_metric_and_for_no_other() {
        let dashboard = dashboard();
        let mut queries = Vec::new();
        values(&dashboard["panels"], "expr", &mut queries);
        values(&dashboard["templating"], "definition", &mut queries);
        let is_word = |one: char| one.is_ascii_alphanumeric() || one == '_';
        let asked: BTreeSet<&str> = queries
            .iter()
            .flat_map(|query| query.as_str().unwrap().split(|one| !is_word(one)))
            .filter(|word| word.starts_with("comfyport_"))
            .collect();
        let known: BTreeSet<String> =
            all().flat_map(Metric::series).map(|series| format!("{PREFIX}_{series}")).collect();
        for name in &asked {
            assert!(known.contains(*name), "the dashboard asks for {name}, which does not exist");
        }
        for metric in all() {
            let shown = metric.series().any(|series| asked.contains(format!("{PREFIX}_{series}").as_str()));
            assert!(shown, "the dashboard does not show {}", metric.name);
        }
    }

    /// What Grafana's own schema of dashboards requires of panels, targets and variables.
    #[test]
    fn the_dashboard_has_what_grafana_needs() {
        let dashboard = dashboard();
        for key in ["title", "uid", "schemaVersion", "panels", "templating", "time", "__inputs", "__requires"]
        {
            assert!(!dashboard[key].is_null(), "{key}");
        }
        assert!(dashboard["id"].is_null() && dashboard["schemaVersion"].as_u64().unwrap() >= 36);
        let (mut ids, mut places) = (BTreeSet::new(), Vec::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = &panel["title"];
            assert!(title.is_string() && panel["type"].is_string(), "{panel}");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id of {title}");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= 24, "{title} does not fit");
            let apart = |(left, top, width, height): &(u64, u64, u64, u64)| {
                x + w <= *left || left + width <= x || y + h <= *top || top + height <= y
            };
            assert!(places.iter().all(apart), "{title} covers another panel");
            places.push((x, y, w, h));
            if panel["type"] == "row" {
                continue;
            }
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            let targets = panel["targets"].as_array().unwrap();
            let refs: BTreeSet<&str> =
                targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
            assert_eq!(refs.len(), targets.len(), "{title}");
            assert!(targets.iter().all(|target| target["expr"].is_string()), "{title}");
            assert!(panel["fieldConfig"]["defaults"].is_object() && panel["options"].is_object(), "{title}");
        }
    }
}
