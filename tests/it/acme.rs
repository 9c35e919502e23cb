//! Certificates that the server gets for itself. What needs an authority is run by `.ci/acme`, with Pebble.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::json;

use crate::process::{Comfyport, run};

const NAME: &str = "images.example.com";

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Ports that were free a moment ago.
fn ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// An authority, and who tells it that every name is this machine.
struct Authority {
    _pebble: Running,
    _names: Running,
    directory: String,
    root: reqwest::Certificate,
}

impl Authority {
    /// It looks for those who ask at a port of this machine.
    async fn start(folder: &Path, asks_at: u16) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let [api, management, dns, steer] = ports();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (chain, key) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
        std::fs::write(&chain, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{api}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": chain, "privateKey": key, "httpPort": 9, "tlsPort": asks_at,
        }});
        let file = folder.join("pebble.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let names = Running::start(
            Command::new("pebble-challtestsrv")
                .args([
                    "-defaultIPv4",
                    "127.0.0.1",
                    "-defaultIPv6",
                    "",
                    "-http01",
                    "",
                    "-https01",
                    "",
                    "-tlsalpn01",
                    "",
                ])
                .args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{steer}")]),
        );
        let pebble = Running::start(
            Command::new("pebble")
                .args(["-config", file.to_str().unwrap(), "-dnsserver", &format!("127.0.0.1:{dns}")])
                .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")]),
        );
        let trusted = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([trusted]).build().unwrap();
        let url = format!("https://127.0.0.1:{management}/roots/0");
        let root = async {
            loop {
                match client.get(&url).send().await {
                    Ok(root) if root.status().is_success() => return root.bytes().await.unwrap(),
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let root = tokio::time::timeout(Duration::from_secs(20), root).await.expect("there is no Pebble");
        let root = reqwest::Certificate::from_pem(&root).unwrap();
        Self { _pebble: pebble, _names: names, directory: format!("https://127.0.0.1:{api}/dir"), root }
    }
}

fn settings(directory: &str, ca: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("COMFYPORT_ACME_DOMAINS", json!([NAME]).to_string()),
        ("COMFYPORT_ACME_CONTACT", json!(["ops@example.com"]).to_string()),
        ("COMFYPORT_ACME_DIRECTORY", directory.to_owned()),
        ("COMFYPORT_ACME_CA", ca.to_str().unwrap().to_owned()),
        ("COMFYPORT_ACME_TERMS_AGREED", "true".to_owned()),
    ]
}

fn serve(port: u16, data: &Path, settings: &[(&'static str, String)]) -> Comfyport {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Comfyport::simulated_at(&format!("127.0.0.1:{port}"), data, &settings)
}

/// Asks until there is a certificate that the authority vouches for.
async fn until_served(root: &reqwest::Certificate, port: u16) {
    let here = SocketAddr::from(([127, 0, 0, 1], port));
    let client =
        reqwest::Client::builder().tls_certs_only([root.clone()]).resolve(NAME, here).build().unwrap();
    let served = async {
        loop {
            match client.get(format!("https://{NAME}:{port}/health")).send().await {
                Ok(answer) if answer.status() == 200 => return,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), served).await.expect("there is no certificate");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Pebble"]
async fn a_certificate_is_issued_kept_and_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let [port] = ports();
    let authority = Authority::start(folder.path(), port).await;
    let settings = settings(&authority.directory, &folder.path().join("ca.pem"));
    let server = serve(port, &data, &settings);
    assert!(server.url().starts_with("https://"), "{}", server.url());
    until_served(&authority.root, port).await;
    assert!(server.log().contains("the authority issued a certificate"), "{}", server.log());
    // There are keys in it.
    assert_eq!(std::fs::metadata(data.join("acme")).unwrap().permissions().mode() & 0o777, 0o700);
    drop(server);
    let Authority { _pebble: pebble, root, .. } = authority;
    drop(pebble);
    let server = serve(port, &data, &settings);
    until_served(&root, port).await;
    assert!(server.log().contains("the certificate that was kept is used"), "{}", server.log());
    assert!(!server.log().contains("PRIVATE KEY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_authority_nothing_is_served_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let [port] = ports();
    let server = serve(port, &folder.path().join("data"), &settings("https://127.0.0.1:9/dir", &ca));
    let said = server.said("no certificate could be had");
    tokio::time::timeout(Duration::from_secs(20), said).await.expect("nothing is said");
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let here = SocketAddr::from(([127, 0, 0, 1], port));
    let client = reqwest::Client::builder().tls_certs_only([root]).resolve(NAME, here).build().unwrap();
    assert!(client.get(format!("https://{NAME}:{port}/health")).send().await.is_err());
    assert!(reqwest::get(format!("http://127.0.0.1:{port}/health")).await.is_err());
}

#[test]
fn settings_of_certificates_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let good = "domains = [\"a.example.com\"]\nterms_agreed = true\n";
    for (text, said) in [
        (good.replace("true", "false"), "`acme.terms_agreed` must be true"),
        (good.replace("a.example", "*.example"), "without wildcards"),
        (good.replace("a.example.com", "10.0.0.7"), "host names such as"),
        (format!("{good}directory = \"http://a.example/dir\""), "must be an https address"),
        (format!("{good}contact = [\"mailto:ops@example.com\"]"), "addresses such as ops@example.com"),
        (format!("{good}[server]\ntls_cert = \"a\"\ntls_key = \"b\""), "exclude each other"),
    ] {
        let file = folder.path().join("comfyport.toml");
        std::fs::write(&file, format!("[acme]\n{text}\n")).unwrap();
        let refused = run(&["config", "show", "--config", file.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains(said), "{text}");
    }
}
