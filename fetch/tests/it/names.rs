//! Names that stand for something else each time they are asked for.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use comfyport_fetch::{FetchError, Refusal};

use crate::{
    Says, allowing, fetch, fetcher,
    host::{Host, file},
};

const INNER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// An address that is allowed, and where somebody listens.
const OUTER: [u8; 4] = [127, 9, 9, 9];

#[tokio::test]
async fn a_name_that_changes_its_mind_is_judged_at_each_dialling() {
    const TIMES: usize = 1000;
    let inner = Host::new(|_| file(b"secret")).await;
    let outer = Host::on(&format!("127.9.9.9:{}", inner.port), |_| file(b"public")).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // Public when it is looked at, inner when it is dialled: whoever asks twice is answered differently.
    let lookup = Says(move |_: &str| match counted.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => vec![OUTER.into()],
        _ => vec![INNER],
    });
    let fetcher = fetcher(allowing(&["127.9.9.9/32"]), Arc::new(lookup));
    let url = format!("http://rebinding.example:{}/", inner.port);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..TIMES {
        match fetch(&fetcher, &url, 100).await {
            Ok(data) => {
                assert_eq!(data, b"public");
                read += 1;
            }
            Err(FetchError::Refused(Refusal::NotPublic)) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    let (connects, asked) = (inner.connects(), calls.load(Ordering::SeqCst));
    println!(
        "{connects} connects of {TIMES}: {read} read, {refused} refused, the name asked for {asked} times"
    );
    assert_eq!((connects, outer.connects(), read, refused), (0, read, TIMES / 2, TIMES / 2));
    assert_eq!(asked, TIMES, "a dialling is judged by the answer that it dials");
}

#[tokio::test]
async fn one_inner_address_among_others_is_one_too_many() {
    let inner = Host::new(|_| file(b"secret")).await;
    let outer = Host::on(&format!("127.9.9.9:{}", inner.port), |_| file(b"public")).await;
    let answers: [Vec<IpAddr>; 5] = [
        vec![OUTER.into(), INNER],
        vec![INNER, OUTER.into()],
        vec![OUTER.into(), "::1".parse().unwrap()],
        vec!["64:ff9b::7f00:1".parse().unwrap(), OUTER.into()],
        vec!["8.8.8.8".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap()],
    ];
    for answer in answers {
        let lookup = Arc::new(Says(move |_: &str| answer.clone()));
        let fetcher = fetcher(allowing(&["127.9.9.9/32"]), lookup);
        let url = format!("http://mixed.example:{}/", inner.port);
        let error = fetch(&fetcher, &url, 100).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused(Refusal::NotPublic)), "{error:?}");
    }
    assert_eq!((inner.connects(), outer.connects()), (0, 0));
}

#[tokio::test]
async fn names_that_are_allowed_may_stand_for_anything_and_others_may_not() {
    let host = Host::new(|_| file(b"ours")).await;
    let lookup = || Arc::new(Says(|_: &str| vec![INNER]));
    let allowed = fetcher(allowing(&["files.local", "*.inner.example"]), lookup());
    for name in ["files.local", "files.local.", "a.inner.example"] {
        assert_eq!(fetch(&allowed, &format!("http://{name}:{}/", host.port), 9).await.unwrap(), b"ours");
    }
    for name in ["other.local", "inner.example"] {
        let error = fetch(&allowed, &format!("http://{name}:{}/", host.port), 9).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused(Refusal::NotPublic)), "{name}: {error:?}");
    }
    assert_eq!(host.connects(), 3);
    let nobody = fetcher(allowing(&[]), Arc::new(Says(|_: &str| Vec::new())));
    let error = fetch(&nobody, "http://nobody.example/", 9).await.unwrap_err();
    assert!(matches!(error, FetchError::UnknownName), "{error:?}");
}
