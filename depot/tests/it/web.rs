//! Files from any address, over connections that break.

use bytes::Bytes;
use comfyport_depot::{
    How, PullError, Sha256, Source, Trust, Wanted,
    testing::{Fault, FileHost, Host, Reply, safetensors},
};
use comfyport_fetch::{Client, Credentials, Guard, SystemLookup};

use crate::{Home, name, pinned, read, wanted, ways};

async fn host(content: &[u8]) -> (FileHost, String) {
    let host = FileHost::start().await;
    host.put("/x.safetensors", content.to_vec());
    let address = host.host.at("/x.safetensors?key=sesame");
    (host, address)
}

#[tokio::test]
async fn what_breaks_off_goes_on_where_it_stopped() {
    let content = safetensors(1, 1 << 20);
    let (host, address) = host(&content).await;
    let home = Home::new();
    for at in [1000, 0, 5000] {
        host.fault(Fault::Cut(at));
    }
    let pulled = home.pull_with(ways(), &wanted(&address)).await.unwrap();
    assert_eq!(read(&pulled.path), content);
    assert_eq!(pulled.how, How::Fetched { bytes: content.len() as u64, resumed: 0 });
    let etag = format!("\"{}\"", Sha256::of(&content));
    let asked: Vec<_> = host
        .host
        .seen()
        .into_iter()
        .map(|seen| (seen.headers.get("range").cloned(), seen.headers.get("if-range").cloned()))
        .collect();
    let part = |at: usize| (Some(format!("bytes={at}-")), Some(etag.clone()));
    assert_eq!(asked, [(None, None), part(1000), part(1000), part(6000)]);
}

#[tokio::test]
async fn what_comes_to_nothing_is_given_up_and_kept_for_another_time() {
    let content = safetensors(2, 1 << 20);
    let (host, address) = host(&content).await;
    let home = Home::new();
    host.fault(Fault::Cut(500_000));
    for _ in 0..3 {
        host.fault(Fault::Status(503, Vec::new()));
    }
    let error = home.pull_with(ways(), &wanted(&address)).await.unwrap_err();
    assert!(matches!(error, PullError::Network { tries: 3, .. }), "{error}");
    assert!(error.next_step().contains("goes on where it stopped"));
    home.assert_nothing_visible();
    let pulled = home.pull_with(ways(), &wanted(&address)).await.unwrap();
    assert_eq!(pulled.how, How::Fetched { bytes: content.len() as u64 - 500_000, resumed: 500_000 });
    assert_eq!(read(&pulled.path), content);
}

#[tokio::test]
async fn a_host_that_sends_all_of_it_again_is_taken_at_its_word() {
    let content = safetensors(3, 100_000);
    let (host, address) = host(&content).await;
    let home = Home::new();
    host.fault(Fault::Cut(50_000));
    host.fault(Fault::WholeFile);
    let pulled = home.pull_with(ways(), &wanted(&address)).await.unwrap();
    assert_eq!(read(&pulled.path), content);
}

#[tokio::test]
async fn another_etag_begins_anew() {
    let (old, new) = (safetensors(4, 100_000), safetensors(5, 100_000));
    let (host, address) = host(&old).await;
    let home = Home::new();
    host.fault(Fault::Cut(50_000));
    host.fault(Fault::Replace(new.clone().into()));
    let pulled = home.pull_with(ways(), &wanted(&address)).await.unwrap();
    assert_eq!(read(&pulled.path), new);

    // Between two runs, and with a host that does not care for `If-Range`.
    let home = Home::new();
    host.put("/x.safetensors", old.clone());
    host.fault(Fault::Cut(50_000));
    for _ in 0..3 {
        host.fault(Fault::Status(503, Vec::new()));
    }
    home.pull_with(ways(), &wanted(&address)).await.unwrap_err();
    let careless = Bytes::from(new.clone());
    let careless = Host::start(move |seen| {
        let mut seen = seen.clone();
        seen.headers.remove("if-range");
        Reply::file(&seen, &careless, "\"new\"")
    });
    let careless = careless.await;
    // The same address, as far as the state of the part knows.
    let state = home.files("cache/parts").into_iter().find(|file| file.ends_with(".json")).unwrap();
    let state = home.folder.path().join("cache/parts").join(state);
    let text = String::from_utf8(read(&state)).unwrap();
    assert!(text.contains("50000"), "{text}");
    let moved = careless.at("/x.safetensors?key=sesame");
    let key = |address: &str| Sha256::of(address.as_bytes()).to_string();
    let (from, to) = (host.host.url.as_str(), careless.url.as_str());
    for extension in ["part", "json"] {
        let rename = |key: String| home.folder.path().join("cache/parts").join(key).with_extension(extension);
        std::fs::rename(rename(key(&address)), rename(key(&moved))).unwrap();
    }
    let state = home.folder.path().join("cache/parts").join(key(&moved)).with_extension("json");
    std::fs::write(&state, text.replace(from, to)).unwrap();
    let pulled = home.pull_with(ways(), &wanted(&moved)).await.unwrap();
    assert_eq!(read(&pulled.path), new);
    assert_eq!(careless.seen()[0].header("range"), Some("bytes=50000-"), "it was tried");
}

#[tokio::test]
async fn corrupt_bytes_and_lying_lengths_never_get_there() {
    let content = safetensors(6, 100_000);
    let (host, address) = host(&content).await;
    let cases: [(&[Fault], &str); 5] = [
        (&[Fault::Corrupt(60_000)], "wrong_hash"),
        (&[Fault::Length(10)], "wrong_size"),
        (&[Fault::Length(-10)], "wrong_size"),
        (&[Fault::Page], "web_page"),
        (&[Fault::Cut(60_000), Fault::Corrupt(10)], "wrong_hash"),
    ];
    for (faults, code) in cases {
        let home = Home::new();
        for fault in faults {
            host.fault(fault.clone());
        }
        let error = home.pull_with(ways(), &pinned(&address, &content)).await.unwrap_err();
        assert_eq!(error.code(), code, "{faults:?}: {error}");
        home.assert_nothing_visible();
        assert!(!home.files("cache/parts").iter().any(|file| file.ends_with(".part")), "{faults:?}");
    }
    // What is wrong, and what no one knew better, is not a safetensors file nevertheless.
    let home = Home::new();
    host.fault(Fault::Corrupt(0));
    let error = home.pull_with(ways(), &wanted(&address)).await.unwrap_err();
    assert_eq!(error.code(), "bad_file", "{error}");
    home.assert_nothing_visible();
}

#[tokio::test]
async fn a_wrong_half_of_another_run_is_fetched_anew() {
    let content = safetensors(12, 100_000);
    let (host, address) = host(&content).await;
    let home = Home::new();
    host.fault(Fault::Cut(50_000));
    for _ in 0..3 {
        host.fault(Fault::Status(503, Vec::new()));
    }
    let wanted = pinned(&address, &content);
    home.pull_with(ways(), &wanted).await.unwrap_err();
    let part = home.files("cache/parts").into_iter().find(|file| file.ends_with(".part")).unwrap();
    let part = home.folder.path().join("cache/parts").join(part);
    let mut bytes = read(&part);
    bytes[20_000] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let pulled = home.pull_with(ways(), &wanted).await.unwrap();
    assert_eq!(read(&pulled.path), content);
    assert_eq!(pulled.how, How::Fetched { bytes: 2 * content.len() as u64 - 50_000, resumed: 0 });
}

#[tokio::test]
async fn a_length_that_is_not_told_is_no_hindrance() {
    let content = safetensors(7, 100_000);
    let (host, address) = host(&content).await;
    host.fault(Fault::NoLength);
    let pulled = Home::new().pull_with(ways(), &wanted(&address)).await.unwrap();
    assert_eq!(pulled.size, content.len() as u64);
    // One that is larger than anything may be is not read to its end.
    let mut home = Home::new();
    home.settings.largest = 50_000;
    host.fault(Fault::NoLength);
    let error = home.pull_with(ways(), &wanted(&address)).await.unwrap_err();
    assert_eq!(error.code(), "too_large");
    let error = home.pull_with(ways(), &wanted(&address)).await.unwrap_err();
    assert_eq!(error.code(), "too_large");
    home.assert_nothing_visible();
}

#[tokio::test]
async fn each_status_has_its_own_error() {
    let content = safetensors(8, 1000);
    let (host, address) = host(&content).await;
    for (status, code) in
        [(401, "unauthorized"), (403, "forbidden"), (404, "not_found"), (410, "not_found"), (418, "status")]
    {
        host.fault(Fault::Status(status, Vec::new()));
        let error = Home::new().pull_with(ways(), &wanted(&address)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    host.fault(Fault::Status(429, vec![("retry-after".to_owned(), "600".to_owned())]));
    let error = Home::new().pull_with(ways(), &wanted(&address)).await.unwrap_err();
    assert!(matches!(error, PullError::RateLimited { wait_s: 600, .. }), "{error}");
}

#[tokio::test]
async fn the_next_source_is_asked_and_goes_on_with_what_is_there() {
    let content = safetensors(9, 100_000);
    let (first, one) = host(&content).await;
    let (second, two) = host(&content).await;
    let home = Home::new();
    first.fault(Fault::Cut(40_000));
    for _ in 0..3 {
        first.fault(Fault::Status(503, Vec::new()));
    }
    let mut wanted = pinned(&one, &content);
    wanted.sources.push(two.parse().unwrap());
    let pulled = home.pull_with(ways(), &wanted).await.unwrap();
    assert_eq!(read(&pulled.path), content);
    assert_eq!(second.host.seen()[0].header("range"), Some("bytes=40000-"));
    assert_eq!(second.host.seen()[0].header("if-range"), None, "that `ETag` is of the other host");
}

#[tokio::test]
async fn credentials_stay_with_their_host() {
    let content = safetensors(10, 1000);
    let storage = FileHost::signed().await;
    storage.put("/x", content.clone());
    let signer = storage.clone();
    let asked = Host::start(move |seen| match (seen.header("x-key"), seen.path()) {
        (None, _) => Reply::new(401, ""),
        (Some(_), "/a/x.safetensors") => Reply::redirect(302, "/a/moved"),
        _ => Reply::redirect(302, signer.sign("/x")),
    });
    let asked = asked.await;
    let credentials = Credentials::new(&asked.at("/a/*"), [("x-key", "sesame")]).unwrap();
    let mut ways = ways();
    ways.credentials.push(credentials);
    Home::new().pull_with(ways.clone(), &wanted(&asked.at("/a/x.safetensors"))).await.unwrap();
    assert!(storage.host.seen().iter().all(|seen| seen.header("x-key").is_none()));
    let error =
        Home::new().pull_with(ways.clone(), &wanted(&asked.at("/b/x.safetensors"))).await.unwrap_err();
    assert_eq!(error.code(), "unauthorized");
    // Another server of this kind is asked by folder and file.
    let server = FileHost::start().await;
    server.put("/api/models/loras/x.safetensors", content.clone());
    let source = format!("comfyport+{}", server.host.at("/api/"));
    let home = Home::new();
    let pulled = home.pull_with(ways, &wanted(&source)).await.unwrap();
    assert_eq!(read(&pulled.path), content);
}

#[tokio::test]
async fn the_guard_stands_before_what_anybody_names_and_before_redirects() {
    let content = safetensors(11, 1000);
    let (host, address) = host(&content).await;
    let guarded = || {
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = Client::new(
            Guard::default(),
            std::sync::Arc::new(SystemLookup::default()),
            tls,
            std::time::Duration::from_secs(5),
        );
        let mut ways = ways();
        ways.client = client.unwrap();
        ways
    };
    let error = Home::new().pull_with(guarded(), &wanted(&address)).await.unwrap_err();
    assert_eq!((error.code(), host.host.seen().len()), ("address", 0));
    let by_operator = |address: &str| Wanted { trust: Trust::Operator, ..wanted(address) };
    Home::new().pull_with(guarded(), &by_operator(&address)).await.unwrap();
    let asked = host.host.seen().len();
    let elsewhere = Host::start(move |_| Reply::redirect(302, address.clone())).await;
    let error = Home::new().pull_with(guarded(), &by_operator(&elsewhere.at("/x"))).await.unwrap_err();
    assert_eq!((error.code(), host.host.seen().len()), ("address", asked));
    let circle = Host::start(|_| Reply::redirect(302, "/again")).await;
    let error = Home::new().pull_with(ways(), &wanted(&circle.at("/x"))).await.unwrap_err();
    assert!(error.to_string().contains("redirects more than"), "{error}");
}

#[tokio::test]
async fn several_at_once_each_have_their_own_end() {
    let host = FileHost::start().await;
    let contents: Vec<Vec<u8>> = (0..8).map(|seed| safetensors(seed, 50_000)).collect();
    let mut all = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        host.put(&format!("/{number}"), content.clone());
        let source: Source = host.host.at(&format!("/{number}")).parse().unwrap();
        let name = name(&format!("loras/{number}.safetensors"));
        all.push(Wanted { name, sources: vec![source], ..pinned("civitai:1", content) });
    }
    all[3].sources = vec![host.host.at("/none").parse().unwrap()];
    all[5].sources.clear();
    let home = Home::new();
    let outcomes = home.pull_all(ways(), &all).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        match (number, outcome) {
            (3, outcome) => assert_eq!(outcome.as_ref().unwrap_err().code(), "not_found"),
            (5, outcome) => assert_eq!(outcome.as_ref().unwrap_err().code(), "no_source"),
            (_, outcome) => assert_eq!(read(&outcome.as_ref().unwrap().path), contents[number]),
        }
    }
    assert_eq!(home.files("models").len(), 6);
}

#[tokio::test]
async fn an_address_without_a_hash_is_not_fetched_twice_while_it_has_the_same() {
    let (old, new) = (safetensors(20, 1000), safetensors(21, 1000));
    let (host, address) = host(&old).await;
    let home = Home::new();
    home.pull_with(ways(), &wanted(&address)).await.unwrap();
    let other = |file: &str| Wanted { name: name(file), ..wanted(&address) };
    let pulled = home.pull_with(ways(), &other("loras/b.safetensors")).await.unwrap();
    assert_eq!(pulled.how, How::Cached);
    assert!(host.host.seen()[1].header("if-none-match").is_some());
    host.put("/x.safetensors", new.clone());
    let pulled = home.pull_with(ways(), &other("loras/c.safetensors")).await.unwrap();
    assert_eq!(read(&pulled.path), new);
}
