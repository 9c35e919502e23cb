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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: String,
    status: u16,
}

/// What the server counts.
pub struct Metrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    durations: Histogram,
    runs: Gauge,
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
        let (runs, artifact_bytes) = (Gauge::default(), Gauge::default());
        registry.register("http_requests", "Requests answered, by route and status", answers.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time to the head of the answer",
            durations.clone(),
        );
        registry.register("runs_active", "Runs under way, waiting ones included", runs.clone());
        registry.register("artifact_bytes", "Bytes of output files kept", artifact_bytes.clone());
        registry.register(
            "build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self { registry, answers, durations, runs, artifact_bytes }
    }
}

impl Metrics {
    /// Counts an answer. Routes are patterns, so that callers cannot make up new series.
    pub fn answered(&self, route: &str, status: u16, elapsed: Duration) {
        self.answers.get_or_create(&Answer { route: route.to_owned(), status }).inc();
        self.durations.observe(elapsed.as_secs_f64());
    }

    /// All series as text.
    pub fn render(&self, runs: usize, artifact_bytes: u64) -> Result<String, fmt::Error> {
        self.runs.set(i64::try_from(runs).unwrap_or(i64::MAX));
        self.artifact_bytes.set(i64::try_from(artifact_bytes).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
