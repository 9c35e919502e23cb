//! The tables, and how older ones are brought up to date.
//!
//! A version is a list of statements; what has been published is never changed, only followed by another version.

use crate::{
    StoreError,
    database::{Dialect, Tx},
};

/// The version this program reads and writes.
pub(crate) const CURRENT: i64 = 4;

/// One list of statements for each version. `{SERIAL}` and `{BYTES}` differ between dialects.
const VERSIONS: [&[&str]; 4] = [JOBS, AGE_OF_CHUNKS, CALLERS, UPLOADS];

const JOBS: &[&str] = &[
    "CREATE TABLE jobs (
        seq {SERIAL},
        id TEXT NOT NULL UNIQUE,
        workflow TEXT NOT NULL,
        owner TEXT NOT NULL,
        state TEXT NOT NULL,
        rank BIGINT NOT NULL,
        need TEXT NOT NULL,
        ready BIGINT NOT NULL,
        run_after BIGINT,
        deadline BIGINT,
        created_at BIGINT NOT NULL,
        started_at BIGINT,
        ended_at BIGINT,
        fence BIGINT NOT NULL,
        attempts BIGINT NOT NULL,
        max_attempts BIGINT NOT NULL,
        crashes BIGINT NOT NULL,
        takeovers BIGINT NOT NULL,
        holder TEXT,
        engine TEXT,
        avoid TEXT,
        prompt_id TEXT,
        submitted BIGINT NOT NULL,
        cancel BIGINT NOT NULL,
        batch TEXT,
        batch_index BIGINT,
        request TEXT NOT NULL,
        options TEXT NOT NULL,
        webhook TEXT,
        cache_key TEXT,
        events BIGINT NOT NULL,
        progress TEXT,
        result TEXT,
        problem TEXT)",
    // Lanes: what an engine may take next of each caller and each kind of need, without looking at the rest.
    "CREATE INDEX jobs_lane ON jobs (rank, owner, need, seq) WHERE state = 'queued' AND ready = 1",
    "CREATE INDEX jobs_line ON jobs (rank, seq) WHERE state = 'queued'",
    "CREATE INDEX jobs_later ON jobs (run_after) WHERE state = 'queued' AND ready = 0",
    "CREATE INDEX jobs_deadline ON jobs (deadline) WHERE state = 'queued' AND deadline IS NOT NULL",
    "CREATE INDEX jobs_running ON jobs (engine, holder) WHERE state = 'running'",
    "CREATE INDEX jobs_state ON jobs (state, seq)",
    "CREATE INDEX jobs_owner ON jobs (owner, seq)",
    "CREATE INDEX jobs_workflow ON jobs (workflow, seq)",
    "CREATE INDEX jobs_batch ON jobs (batch, batch_index) WHERE batch IS NOT NULL",
    "CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX jobs_cache ON jobs (cache_key, seq) WHERE state = 'succeeded' AND cache_key IS NOT NULL",
    "CREATE TABLE needs (id TEXT PRIMARY KEY, requirement TEXT NOT NULL)",
    "CREATE TABLE tags (tag TEXT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (tag, seq))",
    "CREATE INDEX tags_seq ON tags (seq)",
    "CREATE TABLE events (
        job TEXT NOT NULL, number BIGINT NOT NULL, at BIGINT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (job, number))",
    "CREATE TABLE idempotency (
        scope TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, target TEXT NOT NULL,
        expires_at BIGINT NOT NULL, PRIMARY KEY (scope, key))",
    "CREATE INDEX idempotency_expires ON idempotency (expires_at)",
    "CREATE TABLE batches (
        seq {SERIAL}, id TEXT NOT NULL UNIQUE, workflow TEXT NOT NULL, owner TEXT NOT NULL,
        created_at BIGINT NOT NULL, size BIGINT NOT NULL, shape TEXT NOT NULL)",
    "CREATE TABLE artifacts (
        job TEXT NOT NULL, output TEXT NOT NULL, position BIGINT NOT NULL, file TEXT NOT NULL,
        content_type TEXT NOT NULL, filename TEXT NOT NULL, size BIGINT NOT NULL, sha256 TEXT NOT NULL,
        width BIGINT, height BIGINT, created_at BIGINT NOT NULL, PRIMARY KEY (job, output, position))",
    "CREATE INDEX artifacts_created ON artifacts (created_at, job)",
    "CREATE INDEX artifacts_file ON artifacts (file)",
    "CREATE TABLE inputs (job TEXT NOT NULL, file TEXT NOT NULL, PRIMARY KEY (job, file))",
    "CREATE INDEX inputs_file ON inputs (file)",
    "CREATE TABLE chunks (file TEXT NOT NULL, number BIGINT NOT NULL, data {BYTES} NOT NULL, PRIMARY KEY (file, number))",
    "CREATE TABLE deliveries (
        seq {SERIAL}, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, event TEXT NOT NULL, url TEXT NOT NULL,
        body TEXT NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL, due_at BIGINT NOT NULL,
        holder TEXT, created_at BIGINT NOT NULL, ended_at BIGINT, status BIGINT, said TEXT)",
    "CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 'pending'",
    "CREATE INDEX deliveries_job ON deliveries (job, seq)",
    "CREATE INDEX deliveries_state ON deliveries (state, seq)",
    "CREATE TABLE disabled_targets (url TEXT PRIMARY KEY, since BIGINT NOT NULL, reason TEXT NOT NULL)",
    "CREATE TABLE engines (name TEXT PRIMARY KEY, drained BIGINT NOT NULL)",
    "CREATE TABLE servers (id TEXT PRIMARY KEY, name TEXT NOT NULL, beat BIGINT NOT NULL, started_at BIGINT NOT NULL)",
];

/// When a piece of a file was last written, so that strays can be told from what is on its way.
const AGE_OF_CHUNKS: &[&str] = &[
    "ALTER TABLE chunks ADD COLUMN written_at BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX chunks_written ON chunks (written_at) WHERE number = 0",
];

/// Who may call, and what each used.
const CALLERS: &[&str] = &[
    "CREATE TABLE api_keys (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL, digest TEXT NOT NULL, grant_ TEXT NOT NULL,
        expires_at BIGINT, created_at BIGINT NOT NULL, revoked_at BIGINT)",
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE usage (
        subject TEXT NOT NULL, day BIGINT NOT NULL, kind TEXT NOT NULL, amount BIGINT NOT NULL,
        PRIMARY KEY (subject, day, kind))",
    "CREATE INDEX jobs_active ON jobs (owner) WHERE ended_at IS NULL",
];

/// Files that callers refer to for a while.
const UPLOADS: &[&str] = &[
    "CREATE TABLE uploads (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, file TEXT NOT NULL, content_type TEXT NOT NULL,
        size BIGINT NOT NULL, sha256 TEXT NOT NULL, width BIGINT, height BIGINT, created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX uploads_content ON uploads (owner, sha256)",
    "CREATE INDEX uploads_file ON uploads (file)",
    "CREATE INDEX uploads_expires ON uploads (expires_at)",
];

/// Brings the tables from `version` to [`CURRENT`]. A newer version is refused.
pub(crate) fn migrate(tx: &mut dyn Tx, version: i64) -> Result<(), StoreError> {
    if version > CURRENT {
        return Err(StoreError::Unusable(format!(
            "the job store was written by a newer release (its version is {version}, this one knows {CURRENT}): \
             use that release, or another store"
        )));
    }
    let (serial, bytes, text) = match tx.dialect() {
        Dialect::Sqlite => ("INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB", " TEXT"),
        // Bytes are compared, as SQLite does: quickly, and not by the rules of a language, which may change beneath an
        // index when the system is updated.
        Dialect::Postgres => {
            ("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "BYTEA", " TEXT COLLATE \"C\"")
        }
    };
    let done = usize::try_from(version).unwrap_or(0);
    for statement in VERSIONS.iter().skip(done).flat_map(|statements| statements.iter()) {
        let statement =
            statement.replace("{SERIAL}", serial).replace("{BYTES}", bytes).replace(" TEXT", text);
        tx.execute(&statement, &[])?;
    }
    Ok(())
}
