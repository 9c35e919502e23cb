//! SQLite's own: whose file it is, what is found damaged, full disks, power cuts, and commits that are shared.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use comfyport_store::{Options, Store, StoreError, list::Filter, submit::NewJob};
use rusqlite::Connection;
use uuid::Uuid;

use crate::stage::{Plain, left_out, new_job, submit};

fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(&Options::Sqlite(folder.to_owned()), Arc::new(Plain), |_| {})
}

fn refused(folder: &Path) -> String {
    open(folder).unwrap_err().to_string()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("comfyport.db")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A folder with a store that holds so many jobs and is closed.
fn filled(jobs: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    runtime().block_on(async {
        let large = || NewJob { request: format!("\"{}\"", "x".repeat(2000)), ..new_job() };
        store.submit((0..jobs).map(|_| large()).collect(), None, None).await.unwrap();
    });
    drop(store);
    folder
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let said = refused(folder.path());
    assert!(
        said.contains("another comfyport uses the data directory") && said.contains("PostgreSQL"),
        "{said}"
    );
    drop(store);
    open(folder.path()).unwrap();
}

#[test]
fn files_of_others_and_of_the_future_are_refused() {
    let folder = filled(1);
    let change = |sql: &str| Connection::open(file(folder.path())).unwrap().execute_batch(sql).unwrap();
    change("PRAGMA user_version = 99");
    assert!(refused(folder.path()).contains("written by a newer release (its version is 99"), "not refused");
    change("PRAGMA user_version = 4; PRAGMA application_id = 7");
    assert!(refused(folder.path()).contains("it belongs to another program"), "not refused");
    let folder = tempfile::tempdir().unwrap();
    Connection::open(file(folder.path())).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    assert!(refused(folder.path()).contains("it belongs to another program"), "not refused");
    let folder = tempfile::tempdir().unwrap();
    fs::write(file(folder.path()), "not a database, but long enough to be taken for one: ".repeat(50))
        .unwrap();
    let said = refused(folder.path());
    assert!(said.contains("is not a usable job store") && said.contains("backup"), "{said}");
}

#[test]
fn older_files_are_brought_up_to_date() {
    let folder = filled(3);
    let connection = Connection::open(file(folder.path())).unwrap();
    let first = "DROP TABLE uploads; DROP TABLE api_keys; DROP TABLE secrets; DROP TABLE usage; DROP INDEX jobs_active; \
         DROP INDEX chunks_written; ALTER TABLE chunks DROP COLUMN written_at; PRAGMA user_version = 1";
    connection.execute_batch(first).unwrap();
    drop(connection);
    drop(open(folder.path()).unwrap());
    let connection = Connection::open(file(folder.path())).unwrap();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("SELECT count(*) FROM jobs"), 3);
    assert_eq!(number("SELECT count(*) FROM pragma_table_info('chunks') WHERE name = 'written_at'"), 1);
}

/// Turns bits over in every page. What `quick_check` looks at (the structure of tables and indexes) is found; what it
/// does not (the bytes of a request, say) is not: SQLite keeps no checksums.
#[test]
fn damage_to_the_structure_is_found() {
    let folder = filled(50);
    let whole = fs::read(file(folder.path())).unwrap();
    let pages = whole.len() / 4096;
    let (mut found, mut text) = (0, 0);
    for page in 0..pages {
        let mut damaged = whole.clone();
        // The head of the page: its kind, its cells, where they begin.
        let head = page * 4096 + if page == 0 { 100 } else { 0 };
        damaged[head..head + 8].iter_mut().for_each(|byte| *byte ^= 0xFF);
        fs::write(file(folder.path()), &damaged).unwrap();
        found += usize::from(open(folder.path()).is_err());
        let mut damaged = whole.clone();
        let middle = page * 4096 + 3000;
        if damaged[middle..middle + 8] == *b"xxxxxxxx" {
            damaged[middle] ^= 1;
            fs::write(file(folder.path()), &damaged).unwrap();
            open(folder.path()).unwrap();
            text += 1;
        }
        for extra in ["comfyport.db-wal", "comfyport.db-shm"] {
            fs::remove_file(folder.path().join(extra)).ok();
        }
    }
    assert!(text > 10, "{text} of {pages} pages are text");
    // Pages that overflow hold bytes alone, behind the number of the next.
    assert!(found * 10 >= (pages - text) * 9, "{found} of {pages}, {text} of them text");
    fs::write(file(folder.path()), &whole).unwrap();
    open(folder.path()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("file");
    fs::write(&taken, "").unwrap();
    let said = refused(&taken);
    assert!(said.contains("/file: "), "{said}");
    // Root may write anywhere that is not mounted for reading alone.
    let Some(mount) = Mount::new(folder.path(), "size=1m,ro") else { return };
    let said = refused(&mount.0);
    assert!(
        said.contains("Read-only file system") && said.contains(&mount.0.display().to_string()),
        "{said}"
    );
}

/// A file system in memory, where this may be had.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path, options: &str) -> Option<Self> {
        let place = folder.join("mount");
        fs::create_dir(&place).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&place).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(place));
        }
        left_out("disks that are full, because nothing may be mounted here");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).output().ok();
    }
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(folder.path(), "size=2m") else { return };
    let ballast = mount.0.join("ballast");
    fs::write(&ballast, vec![0; 512 << 10]).unwrap();
    let mut kept = Vec::new();
    runtime().block_on(async {
        let store = open(&mount.0).unwrap();
        let mut full = 0;
        for _ in 0..400 {
            let new = NewJob { request: format!("\"{}\"", "x".repeat(20_000)), ..new_job() };
            let id = new.id;
            match store.submit(vec![new], None, None).await {
                Ok(_) => kept.push(id),
                Err(StoreError::Full) => full += 1,
                Err(error) => panic!("{error}"),
            }
            if full > 3 {
                break;
            }
        }
        assert!(full > 3 && kept.len() > 5, "{full} refused, {} kept", kept.len());
        for id in &kept {
            assert!(store.job(*id).await.unwrap().is_some());
        }
        // It goes on once there is room.
        fs::remove_file(&ballast).unwrap();
        kept.push(submit(&store, new_job()).await.id);
    });
    let store = open(&mount.0).unwrap();
    runtime().block_on(async {
        let all = store.list(Filter::default(), 1000).await.unwrap();
        let mut all: Vec<Uuid> = all.into_iter().map(|job| job.id).collect();
        all.reverse();
        assert_eq!(all, kept);
    });
}

/// What a power cut may leave: all that was synced, and any part of what was written since.
#[test]
fn a_power_cut_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let wal = folder.path().join("comfyport.db-wal");
    let store = open(folder.path()).unwrap();
    let runtime = runtime();
    let mut acknowledged = Vec::new();
    let mut cuts = 0;
    for round in 0..40_u64 {
        let new = NewJob { request: format!("\"{}\"", "x".repeat(fastrand::usize(..9000))), ..new_job() };
        acknowledged.push(new.id);
        runtime.block_on(store.submit(vec![new], None, None)).unwrap();
        let synced = fs::metadata(&wal).unwrap().len();
        let database = fs::read(file(folder.path())).unwrap();
        // Written, and not yet answered as far as the one who cuts knows.
        let unanswered = (0..3).map(|_| NewJob { request: format!("\"{}\"", "y".repeat(3000)), ..new_job() });
        runtime.block_on(store.submit(unanswered.collect(), None, None)).unwrap();
        let written = fs::read(&wal).unwrap();
        assert!(written.len() as u64 >= synced, "round {round}: the log began anew");
        for _ in 0..5 {
            let left = fastrand::u64(synced..=written.len() as u64);
            let mut log = written[..usize::try_from(left).unwrap()].to_vec();
            // Sectors that did not get there may hold anything.
            if fastrand::bool() {
                log.resize(log.len() + fastrand::usize(..5000), fastrand::u8(..));
            }
            let after = tempfile::tempdir().unwrap();
            fs::write(file(after.path()), &database).unwrap();
            fs::write(after.path().join("comfyport.db-wal"), log).unwrap();
            let again = open(after.path()).unwrap();
            for id in &acknowledged {
                assert!(runtime.block_on(again.job(*id)).unwrap().is_some(), "round {round}, {left} bytes");
            }
            cuts += 1;
        }
    }
    assert_eq!(cuts, 200);
}

/// Commits in the log: every last page of one says how large the file is then.
fn commits(folder: &Path) -> usize {
    let log = fs::read(folder.join("comfyport.db-wal")).unwrap();
    let frames = log[32..].chunks_exact(24 + 4096);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

#[test]
fn those_who_come_together_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    runtime().block_on(async {
        submit(&store, new_job()).await;
        let before = commits(folder.path());
        let (mut alone, mut together) = (0, 0);
        for _ in 0..8 {
            submit(&store, new_job()).await;
            alone += 1;
        }
        assert_eq!(commits(folder.path()) - before, alone);
        let before = commits(folder.path());
        let tries: Vec<_> = (0..64)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { submit(&store, new_job()).await })
            })
            .collect();
        for one in tries {
            one.await.unwrap();
            together += 1;
        }
        let taken = commits(folder.path()) - before;
        assert!(taken <= together / 2, "{taken} commits for {together}");
    });
}
