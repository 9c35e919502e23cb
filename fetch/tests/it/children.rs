//! What depends on the process or on its network: in a process of its own.

use std::{env, process::Stdio};

use comfyport_fetch::{FetchError, Guard, Refusal};
use tokio::{net::TcpStream, process::Command};

use crate::{
    Says, allowing, fetch, fetcher, here,
    host::{Host, file},
};

/// One of the tests below, in another process.
fn child(through: &[&str], test: &str) -> Command {
    let this = env::current_exe().unwrap();
    let mut command = match through {
        [] => Command::new(&this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&this);
            command
        }
    };
    command.args([test, "--exact", "--ignored", "--nocapture"]).stdin(Stdio::null());
    command
}

const URL: &str = "COMFYPORT_FETCH_TEST_URL";

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let (proxy, host) = (Host::new(|_| file(b"proxy")).await, Host::new(|_| file(b"host")).await);
    let there = format!("http://127.0.0.1:{}", proxy.port);
    let mut hits = 0;
    for names in [
        &["http_proxy", "https_proxy"][..],
        &["HTTP_PROXY", "HTTPS_PROXY"],
        &["all_proxy"],
        &["ALL_PROXY"],
        &["http_proxy", "HTTPS_PROXY", "ALL_PROXY", "no_proxy"],
    ] {
        let mut child = child(&[], "children::a_file_with_proxies_around");
        child.env(URL, host.url("/")).envs(names.iter().map(|name| (*name, there.as_str())));
        let done = child.output().await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
        hits += 1;
    }
    println!("{} hits of the proxy in {hits} environments", proxy.connects());
    assert_eq!((proxy.connects(), host.connects()), (0, hits));
}

#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn a_file_with_proxies_around() {
    let open = fetcher(allowing(&["127.0.0.0/8"]), here());
    assert_eq!(fetch(&open, &env::var(URL).unwrap(), 100).await.unwrap(), b"host");
    // Nor is what is refused sent to a proxy instead.
    let closed = fetcher(Guard::default(), here());
    for url in [env::var(URL).unwrap(), "http://inner.example/".to_owned()] {
        let error = fetch(&closed, &url, 100).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused(Refusal::NotPublic)), "{error:?}");
    }
}

#[tokio::test]
async fn the_metadata_service_is_not_asked() {
    let namespace = ["unshare", "--map-root-user", "--net"];
    let able = Command::new("unshare").args(&namespace[1..]).args(["ip", "link"]).output().await;
    if !able.is_ok_and(|done| done.status.success()) {
        println!("left out: no networks of one's own can be made here");
        return;
    }
    let script = "ip link set lo up && ip addr add 169.254.169.254/32 dev lo && exec \"$@\"";
    let through = [&namespace[..], &["sh", "-c", script, "sh"]].concat();
    let done = child(&through, "children::beside_a_metadata_service").output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    print!("{said}");
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("0 connects"), "{said}");
}

#[tokio::test]
#[ignore = "run by another test, in a network of its own"]
async fn beside_a_metadata_service() {
    let metadata = Host::on("169.254.169.254:80", |_| file(b"{\"AccessKeyId\":\"sesame\"}")).await;
    let lookup = || std::sync::Arc::new(Says(|_: &str| vec![[169, 254, 169, 254].into()]));
    let redirector = Host::new(|path| crate::host::redirect(302, path.trim_start_matches("/to?"))).await;
    let fetcher = fetcher(allowing(&[&format!("127.0.0.1:{}", redirector.port)]), lookup());
    let spellings = [
        "http://169.254.169.254/latest/meta-data/iam/",
        "http://169.254.43518/",
        "http://169.16689662/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0xA9.0xFE.0xA9.0xFE/",
        "http://0251.0376.0251.0376/",
        "http://025177524776/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::169.254.169.254]/",
        "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/",
        "http://169。254。169。254/",
        "http://metadata.google.internal/",
        "http://metadata.example/",
    ];
    for spelling in spellings {
        for address in [spelling.to_owned(), redirector.url(&format!("/to?{spelling}"))] {
            assert!(fetch(&fetcher, &address, 1000).await.is_err(), "{address}");
        }
    }
    println!("{} connects of {} ways to the metadata service", metadata.connects(), 2 * spellings.len());
    assert_eq!(metadata.connects(), 0);
    // It is there.
    TcpStream::connect("169.254.169.254:80").await.unwrap();
}
