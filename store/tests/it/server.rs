//! PostgreSQL as a server that comes, goes and refuses.

use std::{sync::Arc, time::Duration};

use comfyport_store::{Notice, Options, Store, StoreError};
use uuid::Uuid;

use crate::{
    postgres::{Cluster, PASSWORD},
    stage::{Plain, Stage, job, left_out, new_job, sql, submit},
};

#[test]
fn is_there_or_said_to_be_left_out() {
    if let Err(why) = crate::postgres::address() {
        left_out(&format!("PostgreSQL, because {why}"));
    }
}

fn open(url: &str, connections: usize) -> Result<Store, StoreError> {
    let options = Options::Postgres { url: url.to_owned(), connections };
    Store::open(&options, Arc::new(Plain), |_| {})
}

fn refused(url: &str) -> String {
    let error = open(url, 1).unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(!said.contains(PASSWORD) && !said.contains("sesame"), "{said}");
    said
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A server that may be stopped, if there can be one.
fn cluster(settings: &[&str]) -> Option<Cluster> {
    if std::env::var_os("COMFYPORT_TEST_POSTGRES").is_some() {
        left_out("a PostgreSQL that stops, because this one is not ours");
        return None;
    }
    Cluster::start(settings).ok()
}

#[test]
fn refusals_say_what_to_do_and_never_the_password() {
    let Some(cluster) = cluster(&["fsync=off"]) else { return };
    let tcp = cluster.tcp_address();
    let wrong = refused(&tcp.replace("open%20sesame", "sesame%20open"));
    assert!(wrong.contains("check the user and the password"), "{wrong}");
    let none = refused(&tcp.replace(":open%20sesame", ""));
    assert!(none.contains("asks for a password, and the address has none"), "{none}");
    let missing = refused(&tcp.replace("/postgres", "/nowhere"));
    assert!(missing.contains("there is no such database"), "{missing}");
    let nobody = refused("postgres://u:sesame@127.0.0.1:1/d");
    assert!(nobody.contains("cannot connect to PostgreSQL at 127.0.0.1:1, database d, user u"), "{nobody}");
    let unknown = refused("postgres://u:sesame@no-such-host.invalid/d");
    assert!(unknown.contains("the name no-such-host.invalid is not known"), "{unknown}");

    sql(&cluster.address(), "CREATE ROLE guest LOGIN PASSWORD 'open sesame'");
    let guest = tcp.replace("//comfyport:", "//guest:");
    let poor = refused(&guest);
    assert!(poor.contains("CREATE SCHEMA comfyport AUTHORIZATION"), "{poor}");
    sql(&cluster.address(), "CREATE SCHEMA comfyport");
    let poor = refused(&guest);
    assert!(poor.contains("make the user its owner"), "{poor}");
    sql(&cluster.address(), "ALTER SCHEMA comfyport OWNER TO guest");
    open(&guest, 1).unwrap();

    sql(&cluster.address(), "CREATE SCHEMA other; CREATE TABLE other.jobs (id INT)");
    let foreign = refused(&format!("{tcp}?schema=other"));
    assert!(foreign.contains("tables of another program"), "{foreign}");
    sql(
        &cluster.address(),
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    let latin = refused(&tcp.replace("/postgres", "/latin"));
    assert!(latin.contains("keeps text as LATIN1"), "{latin}");
    sql(&cluster.address(), "UPDATE comfyport.comfyport_schema SET version = 99");
    let newer = refused(&guest);
    assert!(newer.contains("written by a newer release"), "{newer}");
    // A debug print shows where, and no more.
    let shown = format!("{:?}", open(&format!("{tcp}?schema=shown"), 1).unwrap());
    assert!(shown.contains("database postgres") && !shown.contains("sesame"), "{shown}");
}

#[test]
fn encrypted_connections_trust_whom_they_are_told_to() {
    let Some(mut cluster) = cluster(&["fsync=off"]) else { return };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert;
    cluster.stop();
    cluster.put("server.crt", &certificate.pem());
    cluster.put("server.key", &key.serialize_pem());
    cluster.put("stranger.crt", &stranger.pem());
    cluster.set("ssl=on");
    let hba = cluster.data().join("pg_hba.conf");
    let rules = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(hba, rules.replace("host ", "hostssl ")).unwrap();
    cluster.resume();
    let (tcp, data) = (cluster.tcp_address(), cluster.data());
    let with = |options: &str| format!("{tcp}?{options}");
    let root = data.join("server.crt").display().to_string();
    let right = format!("sslmode=verify-full&sslrootcert={root}");
    for options in [right.as_str(), "sslmode=require", "sslmode=prefer", "application_name=x"] {
        let store = open(&with(options), 1).unwrap();
        let encrypted = sql(
            &cluster.address(),
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL",
        );
        assert_eq!(encrypted, [[Some("t".to_owned())]], "{options}");
        drop(store);
    }
    let plain = refused(&with("sslmode=disable"));
    assert!(plain.contains("no encryption"), "{plain}");
    let unknown = refused(&with("sslmode=verify-full"));
    assert!(unknown.contains("`sslrootcert=` names the file"), "{unknown}");
    let stranger = data.join("stranger.crt").display().to_string();
    for mode in ["verify-full", "verify-ca", "require"] {
        let said = refused(&with(&format!("sslmode={mode}&sslrootcert={stranger}")));
        assert!(said.contains("certificate"), "{mode}: {said}");
    }
    // The address is not what the certificate is for.
    let address = with(&right).replace("localhost", "127.0.0.1");
    let said = refused(&address);
    assert!(said.contains("certificate"), "{said}");
    open(&address.replace("verify-full", "verify-ca"), 1).unwrap();
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let Some(mut cluster) = cluster(&["synchronous_commit=off"]) else { return };
    runtime().block_on(async {
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        let options = Options::Postgres { url: cluster.address(), connections: 2 };
        let store =
            Store::open(&options, Arc::new(Plain), move |notice| told.lock().unwrap().push(notice)).unwrap();
        let kept = submit(&store, new_job()).await;
        cluster.stop();
        // What comes while it is away waits; what it had answered is there, although it had no time to end.
        let waiting = {
            let store = store.clone();
            tokio::spawn(async move { submit(&store, new_job()).await })
        };
        while store.backlog() == 0 {
            tokio::task::yield_now().await;
        }
        heard.lock().unwrap().clear();
        cluster.resume();
        let waited = waiting.await.unwrap();
        assert_eq!(job(&store, kept.id).await, kept);
        assert_eq!(job(&store, waited.id).await, waited);
        assert_eq!(store.backlog(), 0);
        // Notices come again, those that may have been missed included.
        let again = async {
            while !heard.lock().unwrap().contains(&Notice::Fleet) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), again).await.unwrap();

        // Who waits for too long is told so, and where it is.
        cluster.stop();
        let refusal = store.submit(vec![new_job()], None, None).await.unwrap_err();
        assert!(refusal.may_pass(), "{refusal}");
        assert!(refusal.to_string().contains("database postgres, user comfyport"), "{refusal}");
        assert!(store.job(kept.id).await.unwrap_err().may_pass());
    });
}

/// A session that is ended in the middle of a transaction: nothing is half done, and others go on.
#[test]
fn lost_sessions_lose_nothing_that_was_answered() {
    let Some(stage) = Stage::postgres() else { return };
    runtime().block_on(async {
        let store = stage.open();
        let address = crate::postgres::address().unwrap();
        let ids: Vec<Uuid> = (0..60).map(|_| Uuid::new_v4()).collect();
        let submits: Vec<_> = ids
            .iter()
            .map(|id| {
                let (store, new) = (store.clone(), comfyport_store::submit::NewJob { id: *id, ..new_job() });
                tokio::spawn(async move { store.submit(vec![new], None, None).await })
            })
            .collect();
        let Options::Postgres { url, .. } = stage.options() else { panic!("it is PostgreSQL") };
        let schema = url.rsplit('=').next().unwrap();
        for _ in 0..4 {
            let ended = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_class ON pg_class.oid = relation \
                 WHERE relnamespace = '{schema}'::regnamespace AND pid <> pg_backend_pid()"
            );
            sql(address, &ended);
        }
        let mut refusals = 0;
        for (id, answer) in ids.iter().zip(submits) {
            let (answer, kept) = (answer.await.unwrap(), store.job(*id).await.unwrap());
            match answer {
                Ok(_) => assert!(kept.is_some()),
                Err(error) if error.to_string().contains("is not known") => {}
                Err(error) => {
                    assert!(error.may_pass(), "{error}");
                    assert_eq!(kept, None, "{error}");
                    refusals += 1;
                }
            }
        }
        assert!(refusals < ids.len());
        submit(&store, new_job()).await;
    });
}

#[test]
fn servers_that_start_together_make_the_tables_once() {
    let Some(stage) = Stage::postgres() else { return };
    std::thread::scope(|scope| {
        let stores: Vec<_> = (0..6).map(|_| scope.spawn(|| stage.open())).collect();
        for store in stores {
            store.join().unwrap();
        }
    });
}

#[test]
fn every_server_hears_each_notice_once() {
    let Some(stage) = Stage::postgres() else { return };
    let Some(elsewhere) = Stage::postgres() else { return };
    runtime().block_on(async {
        let [store, _other] = stage.open_two();
        let _stranger = elsewhere.open();
        let one = submit(&store, new_job()).await;
        let both = async {
            while stage.heard(Notice::Queue) < 2 || stage.heard(Notice::Job(one.id)) < 2 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // Whoever would tell it a second time has had the time when another change has been told.
            store.drain("box".to_owned(), true).await.unwrap();
            while stage.heard(Notice::Fleet) < 2 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
        assert_eq!((stage.heard(Notice::Job(one.id)), stage.heard(Notice::Queue)), (2, 2));
        assert_eq!(elsewhere.heard(Notice::Queue), 0);
    });
}
