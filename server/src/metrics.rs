//! Counters for Prometheus.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use comfyport_store::{State, deliveries::DeliveryState};

use crate::{jobs::JobCounter, problem::Code, run::Timing, webhooks::DeliveryCounter};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWorkflow {
    workflow: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    workflow: String,
    engine: String,
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Retry {
    workflow: String,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tried {
    outcome: String,
}

/// What the server counts.
pub struct Metrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    durations: Histogram,
    accepted: Family<ByWorkflow, Counter>,
    ended: Family<Ended, Counter>,
    retries: Family<Retry, Counter>,
    deliveries: Family<Tried, Counter>,
    in_hand: Gauge,
    artifact_bytes: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("comfyport");
        let answers = Family::default();
        let durations = Histogram::new(exponential_buckets(0.0005, 4.0, 12));
        let (in_hand, artifact_bytes) = (Gauge::default(), Gauge::default());
        let (accepted, ended, retries) = (Family::default(), Family::default(), Family::default());
        let deliveries: Family<Tried, Counter> = Family::default();
        registry.register("webhook_tries", "Tries of webhook deliveries, by outcome", deliveries.clone());
        registry.register("http_requests", "Requests answered, by route and status", answers.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time to the head of the answer",
            durations.clone(),
        );
        registry.register("jobs_accepted", "Jobs accepted, by workflow", accepted.clone());
        registry.register("jobs_ended", "Jobs that ended, by workflow, engine and state", ended.clone());
        registry.register(
            "job_retries",
            "Tries that went wrong and were followed by another",
            retries.clone(),
        );
        registry.register("jobs_in_hand", "Jobs that this server is running", in_hand.clone());
        registry.register("artifact_bytes", "Bytes of output files kept", artifact_bytes.clone());
        registry.register(
            "build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self { registry, answers, durations, accepted, ended, retries, deliveries, in_hand, artifact_bytes }
    }
}

impl Metrics {
    /// Counts an answer. Routes are patterns, so that callers cannot make up new series.
    pub fn answered(&self, route: &str, status: u16, elapsed: Duration) {
        self.answers.get_or_create(&Answer { route: route.to_owned(), status }).inc();
        self.durations.observe(elapsed.as_secs_f64());
    }

    /// All series as text.
    pub fn render(&self, in_hand: usize, artifact_bytes: u64) -> Result<String, fmt::Error> {
        self.in_hand.set(i64::try_from(in_hand).unwrap_or(i64::MAX));
        self.artifact_bytes.set(i64::try_from(artifact_bytes).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl DeliveryCounter for Metrics {
    fn tried(&self, state: DeliveryState, _took: Duration) {
        self.deliveries.get_or_create(&Tried { outcome: state.as_str().to_owned() }).inc();
    }
}

impl JobCounter for Metrics {
    fn accepted(&self, workflow: &str) {
        self.accepted.get_or_create(&ByWorkflow { workflow: workflow.to_owned() }).inc();
    }

    fn ended(&self, workflow: &str, engine: &str, state: State, _timing: Option<Timing>) {
        let labels =
            Ended { workflow: workflow.to_owned(), engine: engine.to_owned(), state: state.to_string() };
        self.ended.get_or_create(&labels).inc();
    }

    fn retried(&self, workflow: &str, code: Code) {
        let labels = Retry { workflow: workflow.to_owned(), code: code.as_str().to_owned() };
        self.retries.get_or_create(&labels).inc();
    }
}
