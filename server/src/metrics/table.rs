//! Every metric there is: the registries and `docs/metrics.md` come from this table.

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::labels::{
    ByEngine, ByOutcome, ByState, ByWorkflow, Ended, Ran, Request, Retry, Transaction, Version,
};

/// What all names begin with.
pub(super) const PREFIX: &str = "comfyport";

/// What a metric is, as Prometheus has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Grows, and begins at 0 when the server starts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many values were how large.
    Histogram,
}

impl Kind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// What names of its series end in.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total"],
            Self::Gauge => &[""],
            Self::Histogram => &["_bucket", "_count", "_sum"],
        }
    }
}

/// A metric, described.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, without the prefix of all and the ending of its series.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it tells, without a full stop.
    pub help: &'static str,
}

impl Metric {
    /// The names of its series, but for the prefix.
    pub fn series(&self) -> impl Iterator<Item = String> {
        self.kind.endings().iter().map(|ending| format!("{}{ending}", self.name))
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $set:ident $all:ident { $(
        $field:ident: $ty:ty = $make:expr, $kind:ident $name:literal [$($label:literal),*] $help:literal
    )* })*) => {$(
        $(#[$doc])*
        pub(super) struct $set { $(pub(super) $field: $ty,)* }

        const $all: &[Metric] = &[$(Metric {
            name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help,
        }),*];

        impl $set {
            /// All of them, in a registry.
            pub(super) fn register(registry: &mut Registry) -> Self {
                $(
                    let $field: $ty = $make;
                    registry.register($name, $help, $field.clone());
                )*
                Self { $($field,)* }
            }
        }
    )*};
}

/// Histograms by labels, all of the same buckets.
pub(super) type Timings<L> = Family<L, Histogram, fn() -> Histogram>;

/// From half a millisecond to 35 minutes.
fn quick() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 4.0, 12))
}

/// From a tenth of a second to almost four hours.
fn long() -> Histogram {
    Histogram::new(exponential_buckets(0.1, 2.0, 18))
}

fn timings<L: Clone + std::hash::Hash + Eq>(make: fn() -> Histogram) -> Timings<L> {
    Family::new_with_constructor(make)
}

metrics! {
    /// What grows while the server runs.
    Counted COUNTED {
        requests: Family<Request, Counter> = Family::default(),
            Counter "http_requests" ["route", "status"] "Requests answered; routes are patterns, `none` where there is none"
        request_seconds: Histogram = quick(),
            Histogram "http_request_duration_seconds" [] "Time to the head of the answer"
        accepted: Family<ByWorkflow, Counter> = Family::default(),
            Counter "jobs_accepted" ["workflow"] "Jobs accepted"
        ended: Family<Ended, Counter> = Family::default(),
            Counter "jobs_ended" ["workflow", "engine", "state"] "Jobs that ended: succeeded, failed, cancelled, expired; without an engine if they never ran"
        retries: Family<Retry, Counter> = Family::default(),
            Counter "job_retries" ["workflow", "code"] "Tries that went wrong and were followed by another, by the code of the problem"
        waited: Timings<Ran> = timings(long),
            Histogram "job_wait_seconds" ["workflow", "engine"] "Time that jobs which succeeded had waited, earlier tries included"
        ran: Timings<Ran> = timings(long),
            Histogram "job_run_seconds" ["workflow", "engine"] "Time that the last try of jobs which succeeded took, from its input files to its outputs"
        tried: Family<ByOutcome, Counter> = Family::default(),
            Counter "webhook_tries" ["outcome"] "Tries of webhook deliveries: delivered, pending if another follows, dead if it was given up"
        try_seconds: Histogram = quick(),
            Histogram "webhook_try_duration_seconds" [] "Time that a try of a webhook delivery took"
        transactions: Timings<Transaction> = timings(quick),
            Histogram "store_transaction_duration_seconds" ["kind"] "Time that a transaction of the job store took, its wait included: read or write"
    }

    /// What is as it is when somebody asks.
    Present PRESENT {
        queued: Family<ByWorkflow, Gauge> = Family::default(),
            Gauge "jobs_queued" ["workflow"] "Jobs that wait, those of all servers that share the store; 0 for a workflow that has none"
        running: Family<ByEngine, Gauge> = Family::default(),
            Gauge "jobs_running" ["engine"] "Jobs that run, those of all servers that share the store; 0 for an idle engine, `other` are engines that this server does not have"
        oldest: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default(),
            Gauge "job_oldest_wait_seconds" [] "How long the job that was accepted first of all that wait has waited; 0 if none waits"
        in_hand: Gauge = Gauge::default(),
            Gauge "jobs_in_hand" [] "Jobs that this server is running"
        webhooks: Gauge = Gauge::default(),
            Gauge "webhooks_pending" [] "Webhook deliveries that wait for a try, those of all servers that share the store"
        backlog: Gauge = Gauge::default(),
            Gauge "store_backlog" [] "Transactions that wait to be written"
        commits: Counter = Counter::default(),
            Counter "store_commits" [] "Commits of the job store: transactions that come together share one"
        artifact_bytes: Gauge = Gauge::default(),
            Gauge "artifact_bytes" [] "Bytes of output files kept"
        states: Family<ByState, Gauge> = Family::default(),
            Gauge "engine_state" ["engine", "state"] "1 for the state that an engine is in, 0 for the others: up, unknown, probing, down, ejected, drained"
        outstanding: Family<ByEngine, Gauge> = Family::default(),
            Gauge "engine_outstanding" ["engine"] "Prompts of this server that are at an engine or on their way there"
        foreign: Family<ByEngine, Gauge> = Family::default(),
            Gauge "engine_foreign" ["engine"] "Prompts at an engine that this server did not send"
        vram: Family<ByEngine, Gauge> = Family::default(),
            Gauge "engine_vram_free_bytes" ["engine"] "Free memory of an engine's device, as it said last"
        ejections: Family<ByEngine, Counter> = Family::default(),
            Counter "engine_ejections" ["engine"] "How often an engine was ejected"
        build: Family<Version, Gauge> = Family::default(),
            Gauge "build_info" ["version"] "Always 1: the label is the running version"
    }
}

/// All metrics, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    COUNTED.iter().chain(PRESENT)
}
