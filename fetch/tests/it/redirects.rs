//! Where addresses lead.

use std::sync::Arc;

use comfyport_fetch::{Blame, Credentials, FetchError, Guard, Limits, Policy, Refusal};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::{
    allowing, fetch, fetcher, here,
    host::{Host, file, head, redirect},
    with,
};

/// Each path of the redirector is the address that it leads to.
async fn redirector(status: u16) -> Host {
    Host::new(move |path| redirect(status, path.trim_start_matches("/to?"))).await
}

#[tokio::test]
async fn every_step_is_judged() {
    let inner = Host::new(|_| file(b"secret")).await;
    let port = inner.port;
    let targets = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://0x7f000001:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://inner.example:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("\\\\127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        "http://169.254.169.254/latest/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://127.0.0.1:22/".to_owned(),
        format!("http://user@127.0.0.1:{port}/"),
        "file:///etc/passwd".to_owned(),
        "ftp://127.0.0.1/".to_owned(),
        "gopher://127.0.0.1:70/_".to_owned(),
        "data:text/plain,secret".to_owned(),
        "javascript:alert(1)".to_owned(),
        "http://".to_owned(),
        "http://[".to_owned(),
    ];
    for status in [301, 302, 303, 307, 308] {
        let redirector = redirector(status).await;
        let allowed = format!("127.0.0.1:{}", redirector.port);
        let fetcher = fetcher(allowing(&[&allowed]), here());
        for target in &targets {
            let error = fetch(&fetcher, &redirector.url(&format!("/to?{target}")), 100).await.unwrap_err();
            let refused = matches!(error, FetchError::Refused(_) | FetchError::Astray);
            assert!(refused, "{status} {target}: {error:?}");
        }
        assert_eq!(redirector.connects(), targets.len(), "each led on");
    }
    println!("{} connects of {} redirects", inner.connects(), 5 * targets.len());
    assert_eq!(inner.connects(), 0);
}

#[tokio::test]
async fn chains_end_and_loops_too() {
    let host = Host::new(|path| match path {
        "/3" => redirect(302, "/2"),
        "/2" => redirect(307, "1"),
        "/1" => redirect(301, "?end"),
        "/1?end" => file(b"there"),
        "/4" => redirect(302, "/3"),
        "/nowhere" => redirect(304, "/1"),
        "/silent" => crate::host::answer("302 Found", "content-length: 0\r\n", b""),
        _ => redirect(302, "/loop"),
    })
    .await;
    let fetcher = fetcher(allowing(&["127.0.0.0/8"]), here());
    assert_eq!(fetch(&fetcher, &host.url("/3"), 100).await.unwrap(), b"there");
    for path in ["/4", "/loop"] {
        let error = fetch(&fetcher, &host.url(path), 100).await.unwrap_err();
        assert!(matches!(error, FetchError::Redirects(3)), "{error:?}");
    }
    assert_eq!(host.connects(), 4 + 4 + 4);
    let error = fetch(&fetcher, &host.url("/nowhere"), 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Status(304)), "{error:?}");
    let error = fetch(&fetcher, &host.url("/silent"), 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Astray), "{error:?}");
}

#[tokio::test]
async fn credentials_do_not_change_hosts() {
    let other = Host::new(|_| file(b"other")).await;
    let at = other.port;
    let host = Host::new(move |path| match path.split('?').next().unwrap_or_default() {
        "/mine/away" => redirect(302, &format!("http://127.0.0.1:{at}/mine/x")),
        "/mine/out" => redirect(302, "/open"),
        "/mine/on" => redirect(302, "/mine/end"),
        _ => file(b"here"),
    })
    .await;
    let key = |port: u16| {
        let headers = [("authorization", "Bearer sesame"), ("x-key", "sesame")];
        let made = Credentials::new(&format!("http://127.0.0.1:{port}/mine/*"), headers).unwrap();
        made.with_query([("token".to_owned(), "sesame".to_owned())])
    };
    // Even a host that has credentials of its own gets none when somebody else leads there.
    let keys = vec![key(host.port), key(other.port)];
    let roots = rustls::RootCertStore::empty();
    let fetcher = with(allowing(&["127.0.0.0/8"]), here(), roots, keys, Limits::default());
    for path in ["/mine/away", "/mine/out", "/mine/on"] {
        fetch(&fetcher, &host.url(path), 100).await.unwrap();
    }
    let with_key = |host: &Host| -> Vec<bool> {
        host.heads().iter().map(|head| head.matches("sesame").count() == 3).collect()
    };
    assert_eq!(with_key(&host), [true, true, false, true, true]);
    assert!(other.heads().iter().all(|head| !head.contains("sesame")), "{:?}", other.heads());
    fetch(&fetcher, &other.url("/mine/x"), 100).await.unwrap();
    assert_eq!(with_key(&other), [false, true]);
    let referring = host.heads().into_iter().chain(other.heads()).filter(|head| head.contains("referer"));
    assert_eq!(referring.count(), 0);
}

/// A host with a certificate of the test's own.
async fn secure(location: String) -> (u16, rustls::RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec!["files.example".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let Some(head) = head(&mut stream).await else { continue };
            let said = if head.starts_with("get /file ") { file(b"safe") } else { redirect(302, &location) };
            let _ = stream.write_all(&said).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, roots)
}

#[tokio::test]
async fn what_begins_in_private_stays_private() {
    let plain = Host::new(|_| file(b"plain")).await;
    let (port, roots) = secure(plain.url("/")).await;
    let guard = allowing(&["files.example", "127.0.0.0/8"]);
    let trusting = with(guard.clone(), here(), roots, Vec::new(), Limits::default());
    let address = |path: &str| format!("https://files.example:{port}{path}");
    assert_eq!(fetch(&trusting, &address("/file"), 100).await.unwrap(), b"safe");
    let error = fetch(&trusting, &address("/away"), 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Downgrade), "{error:?}");
    assert_eq!((error.blame(), plain.connects()), (Blame::Forbidden, 0));
    let error = fetch(&fetcher(guard, here()), &address("/file"), 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Untrusted), "{error:?}");
    let strict = Guard::new(Policy { http: false, ..Policy::default() });
    let error = fetch(&fetcher(strict, here()), &plain.url("/"), 100).await.unwrap_err();
    assert!(matches!(error, FetchError::Refused(Refusal::PlainHttp)), "{error:?}");
}
