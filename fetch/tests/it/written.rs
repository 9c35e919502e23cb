//! Addresses of any text.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use comfyport_fetch::{Guard, is_public};
use proptest::{prelude::*, strategy::ValueTree as _};
use url::Host;

/// What must hold of any bytes that somebody gives as an address.
fn judge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let guard = Guard::default();
    let Ok(approved) = guard.judge(&text) else { return };
    let url = approved.url();
    assert!(matches!(url.scheme(), "http" | "https"), "{url}");
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
    let literal: Option<IpAddr> = match url.host().unwrap() {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(name) => name.trim_end_matches('.').parse().ok(),
    };
    assert!(literal.is_none_or(is_public), "{url}");
    // Whoever reads it again reads the same.
    assert_eq!(guard.judge(url.as_str()).unwrap().url(), url);
    // And the client sends what was judged.
    let sent: http::Uri = url.as_str().parse().unwrap();
    assert_eq!(sent.host(), url.host_str(), "{url}");
}

/// Something like an address, near the edges of what is one.
fn address() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![Just("http"), Just("https"), Just("HtTp"), Just("file"), Just("")];
    let slashes = prop_oneof![Just("://"), Just(":"), Just(":/"), Just(":\\\\"), Just(":///")];
    let user = prop_oneof![Just(""), Just("a@"), Just("a:b@"), Just("8.8.8.8@"), Just("%40")];
    let number = prop_oneof![
        any::<u32>().prop_map(|number| number.to_string()),
        any::<u32>().prop_map(|number| format!("{number:#x}")),
        any::<u32>().prop_map(|number| format!("0{number:o}")),
        any::<[u8; 4]>()
            .prop_map(|bytes| format!("{}.{:#x}.0{:o}.{}", bytes[0], bytes[1], bytes[2], bytes[3])),
        any::<[u16; 8]>().prop_map(|parts| format!("[{}]", std::net::Ipv6Addr::from(parts))),
        any::<[u8; 4]>().prop_map(|bytes| format!("[::ffff:{}]", std::net::Ipv4Addr::from(bytes))),
        any::<u8>().prop_map(|byte| format!("127.{byte}")),
    ];
    let host = prop_oneof![number, "[a-zA-Z0-9.%①②⑦⓪。-]{0,20}", ".{0,8}"];
    let rest = prop_oneof![Just(String::new()), any::<u16>().prop_map(|port| format!(":{port}")), ".{0,12}"];
    (scheme, slashes, user, host, rest)
        .prop_map(|(scheme, slashes, user, host, rest)| format!("{scheme}{slashes}{user}{host}{rest}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_approved_of_is_public(address in address()) {
        judge(address.as_bytes());
    }

    #[test]
    fn any_bytes_are_judged(data in prop::collection::vec(any::<u8>(), 0..64)) {
        judge(&data);
    }
}

/// `COMFYPORT_FUZZ_SECONDS=600 cargo test -p comfyport-fetch --test it --profile fuzz -- --ignored --nocapture for_as_long`
#[test]
#[ignore = "as long as one likes"]
fn for_as_long_as_asked() {
    let seconds =
        std::env::var("COMFYPORT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut runner = proptest::test_runner::TestRunner::default();
    let (strategy, mut cases) = (address(), 0_u64);
    while Instant::now() < end {
        for _ in 0..1000 {
            judge(strategy.new_tree(&mut runner).unwrap().current().as_bytes());
            cases += 1;
        }
    }
    println!("{cases} addresses judged in {seconds} s");
}
