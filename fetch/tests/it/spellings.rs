//! One place in many spellings.

use std::net::IpAddr;

use comfyport_fetch::{FetchError, Guard, Refusal};

use crate::{
    Says, allowing, fetch, fetcher, here,
    host::{Host, file},
};

/// Loopback, the network around us and the metadata services of clouds; `{}` is the port of whoever listens.
const SPELLINGS: [&str; 66] = [
    // As people write it, and as inet_aton reads it.
    "http://127.0.0.1:{}/",
    "http://127.0.0.1.:{}/",
    "http://127.1:{}/",
    "http://127.0.1:{}/",
    "http://127.255.255.254:{}/",
    "http://2130706433:{}/",
    "http://2130706433.:{}/",
    "http://0x7f000001:{}/",
    "http://0x7F.0x0.0x0.0x1:{}/",
    "http://0x7f.1:{}/",
    "http://0177.0.0.1:{}/",
    "http://0177.1:{}/",
    "http://017700000001:{}/",
    "http://0177.0x0.0.1:{}/",
    "http://00000177.0.0.1:{}/",
    "http://0.0.0.0:{}/",
    "http://0:{}/",
    "http://0x0:{}/",
    "http://0.0.0.1:{}/",
    // In other letters and with escapes.
    "http://①②⑦.⓪.⓪.①:{}/",
    "http://１２７.０.０.１:{}/",
    "http://127。0。0。1:{}/",
    "http://127%2e0%2e0%2e1:{}/",
    "http://%31%32%37.0.0.1:{}/",
    "http://0x7f%2e0.0.1:{}/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{}/",
    "http://LOCALHOST:{}/",
    "http://localhost.:{}/",
    "http://a.localhost:{}/",
    "http://loopback.example:{}/",
    // What comes before and after the host.
    "http://8.8.8.8@127.0.0.1:{}/",
    "http://example.com:80@127.0.0.1:{}/",
    "http://example.com%23@127.0.0.1:{}/",
    "http:\\\\127.0.0.1:{}\\",
    "http:127.0.0.1:{}/",
    "http:/127.0.0.1:{}/",
    "http:///127.0.0.1:{}/",
    "http://\t127.0.0.1:{}/",
    "ht\ntp://127.0.0.1:{}/",
    " http://127.0.0.1:{}/ ",
    "HTTP://127.0.0.1:{}/",
    "https://127.0.0.1:{}/",
    "http://127.0.0.1:0000{}/",
    "http://127.0.0.1:{}#@example.com/",
    "http://127.0.0.1:{}?@example.com/",
    // IPv6, and what holds IPv4.
    "http://[::1]:{}/",
    "http://[0:0:0:0:0:0:0:1]:{}/",
    "http://[::]:{}/",
    "http://[::127.0.0.1]:{}/",
    "http://[::ffff:127.0.0.1]:{}/",
    "http://[::ffff:7f00:1]:{}/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:{}/",
    "http://[64:ff9b::127.0.0.1]:{}/",
    "http://[2002:7f00:1::]:{}/",
    "http://[2001:0:7f00:1::1]:{}/",
    "http://[fe80::1]:{}/",
    "http://[fd00:ec2::254]:{}/",
    "http://[ff02::1]:{}/",
    // The network around us.
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:a9fe:a9fe]/latest/meta-data/",
    "http://0xa9fea9fe/latest/meta-data/",
    "http://metadata.example/computeMetadata/v1/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://100.100.100.200/",
    "http://192.0.0.192/opc/v1/",
];

fn inside(name: &str) -> Vec<IpAddr> {
    let address = if name.starts_with("metadata") { [169, 254, 169, 254] } else { [127, 0, 0, 1] };
    vec![address.into()]
}

#[tokio::test]
async fn no_spelling_of_an_inner_address_is_dialled() {
    let host = Host::new(|_| file(b"secret")).await;
    let six = Host::on(&format!("[::1]:{}", host.port), |_| file(b"secret")).await;
    let fetcher = fetcher(Guard::default(), std::sync::Arc::new(Says(inside)));
    for spelling in SPELLINGS {
        let address = spelling.replace("{}", &host.port.to_string());
        let error = fetch(&fetcher, &address, 100).await.unwrap_err();
        let refused =
            matches!(error, FetchError::Refused(Refusal::NotPublic | Refusal::UserInfo | Refusal::Malformed));
        assert!(refused, "{address:?}: {error:?}");
        for inner in ["127.0.0.1", "169.254", "::1"] {
            assert!(!error.to_string().contains(inner), "{error}");
        }
    }
    let connects = host.connects() + six.connects();
    println!("{connects} connects of {} spellings", SPELLINGS.len());
    assert_eq!(connects, 0);
    // They would have been heard.
    let open = crate::fetcher(allowing(&["127.0.0.0/8", "::1"]), here());
    assert_eq!(fetch(&open, &host.url("/"), 100).await.unwrap(), b"secret");
    assert_eq!(fetch(&open, &format!("http://[::1]:{}/", six.port), 100).await.unwrap(), b"secret");
    assert_eq!((host.connects(), six.connects()), (1, 1));
}
