//! Tokens of issuers: which open, what they open, and what becomes of those that somebody made up.

use std::{path::Path, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::{
    issuer::{Issuer, Key, encode, unsigned},
    process::{Comfyport, command, run},
};

const PAINT: &str = "/sd15/txt2img";

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A configuration with these tables of issuers.
fn configured(folder: &Path, tables: &str) -> String {
    let path = folder.join("comfyport.toml");
    std::fs::write(&path, tables).unwrap();
    path.to_str().unwrap().to_owned()
}

fn table(name: &str, issuer: &Issuer, more: &str) -> String {
    format!(
        "[[access.issuers]]\nname = \"{name}\"\nissuer = \"{}\"\naudiences = [\"comfyport\"]\nhttp = true\n{more}\n",
        issuer.url()
    )
}

/// A server that accepts tokens of these issuers, and the folder that it needs.
fn server(tables: &str, settings: &[(&str, &str)]) -> (Comfyport, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path(), tables);
    let settings = [&[("COMFYPORT_CONFIG", config.as_str())][..], settings].concat();
    (Comfyport::simulated_with(&settings), folder)
}

fn claims(issuer: &Issuer, subject: &str) -> Value {
    json!({
        "iss": issuer.url(), "aud": "comfyport", "sub": subject, "exp": now() + 600,
        "scope": "openid comfyport:read comfyport:run",
    })
}

/// The same with other members; those that are null are left out.
fn but(claims: &Value, others: Value) -> Value {
    let mut claims = claims.as_object().unwrap().clone();
    for (name, value) in others.as_object().unwrap() {
        claims.insert(name.clone(), value.clone());
    }
    claims.retain(|_, value| !value.is_null());
    claims.into()
}

fn paint(server: &Comfyport, token: &str) -> reqwest::RequestBuilder {
    server.post(PAINT).bearer_auth(token).body(r#"{"prompt":"a fox","steps":1,"width":64,"height":64}"#)
}

async fn status(server: &Comfyport, token: &str) -> u16 {
    server.get("/jobs").bearer_auth(token).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_every_kind_open_beside_keys() {
    let (rsa, curve, edwards) = (Key::rsa(2048), Key::p256(), Key::ed25519());
    let issuer = Issuer::start(vec![
        rsa.published("r"),
        curve.published("c"),
        edwards.published("e"),
        json!({"kty": "AKP"}),
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path(), &table("corp", &issuer, ""));
    let data = folder.path().join("data");
    let made =
        command(&["keys", "create", "ci", "--simulate", "--data-dir", data.to_str().unwrap()]).output();
    let key = String::from_utf8(made.unwrap().stdout).unwrap();
    let server = Comfyport::simulated_in(&data, &[("COMFYPORT_CONFIG", &config)]);
    assert!(server.log().contains("API keys or tokens of corp are needed"), "{}", server.log());
    for (key, header) in [
        (&rsa, json!({"alg": "RS256", "kid": "r", "typ": "JWT"})),
        (&rsa, json!({"alg": "PS256", "kid": "r", "typ": "at+jwt"})),
        (&curve, json!({"alg": "ES256", "kid": "c"})),
        // The only key for this algorithm.
        (&curve, json!({"alg": "ES256"})),
        (&edwards, json!({"alg": "EdDSA", "kid": "e"})),
    ] {
        let token = key.token(&header, &claims(&issuer, "alice"));
        server.expect(server.get("/jobs").bearer_auth(&token), 200).await;
    }
    server.expect(server.get("/jobs").bearer_auth(key.trim()), 200).await;
    server.expect(server.get("/jobs").header("x-api-key", key.trim()), 200).await;
    server.read("/jobs", 401).await;
    server.read("/health", 200).await;
    assert_eq!(issuer.asked(), 1);
    // Several audiences, of which we are one; numbers with a fraction; clocks that are a little apart.
    let several = but(
        &claims(&issuer, "alice"),
        json!({"aud": ["other", "comfyport"], "exp": now() as f64 - 5.5, "nbf": now() + 5}),
    );
    let token = curve.token(&json!({"alg": "ES256", "kid": "c"}), &several);
    let result = server.expect(paint(&server, &token), 200).await.json();
    assert_eq!(result["status"], "succeeded");
}

/// Whatever is wrong with a token, it is answered with 401 and words that say what, and not more.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_somebody_made_up_open_nothing() {
    let (rsa, curve, other) = (Key::rsa(2048), Key::p256(), Key::p256());
    let short = Key::rsa(1024);
    let encrypts = but(&rsa.published("enc"), json!({"use": "enc"}));
    let published = vec![rsa.published("r"), curve.published("c"), short.published("short"), encrypts];
    let issuer = Issuer::start(published).await;
    let elsewhere = Issuer::start(vec![other.published("c")]).await;
    let settings = [("COMFYPORT_ACCESS_WRONG_KEYS_PER_MINUTE", "1000"), ("COMFYPORT_LOG_LEVEL", "trace")];
    let (server, _folder) = server(&table("corp", &issuer, ""), &settings);
    let good = claims(&issuer, "alice");
    let header = json!({"alg": "ES256", "kid": "c", "typ": "JWT"});
    let made = |header: Value| curve.token(&header, &good);
    let saying = |others: Value| curve.token(&header, &but(&good, others));
    server.expect(server.get("/jobs").bearer_auth(made(header.clone())), 200).await;

    let Key::Rsa(private) = &rsa else { unreachable!() };
    let public =
        rsa::pkcs8::EncodePublicKey::to_public_key_pem(&private.to_public_key(), rsa::pkcs8::LineEnding::LF);
    let public = public.unwrap();
    let der = rsa::pkcs8::EncodePublicKey::to_public_key_der(&private.to_public_key()).unwrap();
    let by_secret = |secret: &[u8]| {
        let message = unsigned(&json!({"alg": "HS256", "kid": "r"}), &good);
        format!("{message}.{}", encode(&hmac_sha256(secret, message.as_bytes())))
    };
    let (head, rest) =
        made(header.clone()).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let own_key = other.published("own");
    let mut cases: Vec<(&str, String, &str)> = vec![
        ("no signature", format!("{}.", unsigned(&json!({"alg": "none"}), &good)), "signed in a way"),
        (
            "alg none in other letters",
            format!("{}.", unsigned(&json!({"alg": "nOnE"}), &good)),
            "signed in a way",
        ),
        ("alg none, signed", made(json!({"alg": "none", "kid": "c"})), "signed in a way"),
        ("no alg", made(json!({"kid": "c"})), "cannot be read"),
        ("the public key as a secret, PEM", by_secret(public.as_bytes()), "signed in a way"),
        ("the public key as a secret, DER", by_secret(der.as_bytes()), "signed in a way"),
        ("the public key as a secret, n", by_secret(&STANDARD.decode("AQAB").unwrap()), "signed in a way"),
        ("an unknown algorithm", made(json!({"alg": "ES256K", "kid": "c"})), "signed in a way"),
        ("a key of another kind", made(json!({"alg": "ES256", "kid": "r"})), "names no key"),
        ("another algorithm than the key's", made(json!({"alg": "RS256", "kid": "c"})), "names no key"),
        ("somebody else's key", other.token(&header, &good), "signature does not hold"),
        ("a cut signature", format!("{head}.{}", encode(&decode(&rest)[..60])), "signature does not hold"),
        ("no bytes of a signature", format!("{head}."), "signature does not hold"),
        ("zeros for a signature", format!("{head}.{}", encode(&[0; 64])), "signature does not hold"),
        ("a signature that is not base64", format!("{head}.!!!!"), "cannot be read"),
        (
            "a short key",
            short.token(&json!({"alg": "RS256", "kid": "short"}), &good),
            "signature does not hold",
        ),
        ("a key that encrypts", rsa.token(&json!({"alg": "RS256", "kid": "enc"}), &good), "names no key"),
        ("an unknown key", made(json!({"alg": "ES256", "kid": "x"})), "names no key"),
        (
            "a key that is a path",
            made(json!({"alg": "ES256", "kid": "../../../../dev/null"})),
            "names no key",
        ),
        ("a key that is SQL", made(json!({"alg": "ES256", "kid": "c' OR '1'='1"})), "names no key"),
        ("a key that is empty", made(json!({"alg": "ES256", "kid": ""})), "names no key"),
        ("a key that is no text", made(json!({"alg": "ES256", "kid": ["c"]})), "cannot be read"),
        (
            "a key of its own",
            other.token(&json!({"alg": "ES256", "kid": "c", "jwk": own_key}), &good),
            "signature does not hold",
        ),
        (
            "a place of its own",
            other.token(
                &json!({"alg": "ES256", "kid": "c", "jku": format!("{}/keys", elsewhere.url())}),
                &good,
            ),
            "signature does not hold",
        ),
        (
            "a certificate of its own",
            other.token(
                &json!({"alg": "ES256", "kid": "c", "x5u": format!("{}/keys", elsewhere.url())}),
                &good,
            ),
            "signature does not hold",
        ),
        (
            "something critical",
            made(json!({"alg": "ES256", "kid": "c", "crit": ["b64"], "b64": false})),
            "critical",
        ),
        ("another type", made(json!({"alg": "ES256", "kid": "c", "typ": "logout+jwt"})), "another type"),
        ("expired", saying(json!({"exp": now() - 31})), "has expired"),
        ("no end", saying(json!({"exp": null})), "lacks one of"),
        ("an end that is no number", saying(json!({"exp": "tomorrow"})), "lacks one of"),
        ("an end before all time", saying(json!({"exp": -1})), "lacks one of"),
        ("not yet valid", saying(json!({"nbf": now() + 60})), "not valid yet"),
        ("another audience", saying(json!({"aud": "other"})), "another audience"),
        ("other audiences", saying(json!({"aud": ["a", "b"]})), "another audience"),
        ("no audience", saying(json!({"aud": null})), "lacks one of"),
        ("nobody for an audience", saying(json!({"aud": []})), "another audience"),
        ("another issuer", saying(json!({"iss": elsewhere.url()})), "issuer is not one"),
        ("nearly the issuer", saying(json!({"iss": format!("{}/", issuer.url())})), "issuer is not one"),
        ("several issuers", saying(json!({"iss": [issuer.url()]})), "cannot be read"),
        ("no issuer", saying(json!({"iss": null})), "cannot be read"),
        ("nobody", saying(json!({"sub": null})), "whose it is"),
        ("somebody who is a number", saying(json!({"sub": 7})), "whose it is"),
        ("somebody with a line in his name", saying(json!({"sub": "a\nb"})), "whose it is"),
        ("somebody with a long name", saying(json!({"sub": "x".repeat(300)})), "whose it is"),
        ("a huge one", saying(json!({"more": "x".repeat(20_000)})), "larger than 16384"),
        ("nothing", "..".to_owned(), "cannot be read"),
        ("no JSON", "e30.YQ.YQ".to_owned(), "cannot be read"),
        ("not base64", "a+/=.b.c".to_owned(), "cannot be read"),
        ("deep JSON", format!("{}.e30.YQ", encode("[".repeat(5_000).as_bytes())), "cannot be read"),
    ];
    // One part of one, another of another.
    let stolen = saying(json!({"sub": "mallory"}));
    let parts: Vec<&str> = stolen.split('.').collect();
    let honest = made(header.clone());
    let signature = honest.rsplit('.').next().unwrap();
    cases.push(("other claims", format!("{}.{}.{signature}", parts[0], parts[1]), "signature does not hold"));
    let twice = format!(
        "{{\"iss\":\"{}\",\"iss\":\"{0}\",\"aud\":\"comfyport\",\"exp\":{}}}",
        issuer.url(),
        now() + 60
    );
    let header = encode(header.to_string().as_bytes());
    cases.push((
        "an issuer twice",
        format!("{header}.{}.{signature}", encode(twice.as_bytes())),
        "cannot be read",
    ));

    for (what, token, said) in &cases {
        let refused = server.get("/jobs").bearer_auth(token).send().await.unwrap();
        assert_eq!(refused.status(), 401, "{what}");
        let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "unauthorized", "{what}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{what}: {problem}");
        assert!(challenge.contains("error=\"invalid_token\", error_description=\"the token"), "{challenge}");
        assert_eq!(challenge.matches('"').count(), 6, "{challenge}");
    }
    assert_eq!(elsewhere.asked(), 0);
    // Said all it could, and nothing of any of them.
    let log = server.log();
    assert!(log.contains("TRACE"), "it says less than it could");
    for (what, token, _) in &cases {
        let signature = token.rsplit('.').next().filter(|part| part.len() > 20).unwrap_or(token);
        assert!(signature.len() < 8 || !log.contains(signature), "{what} was logged");
    }
    assert!(!log.contains(&honest));
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// HMAC with SHA-256 (RFC 2104): what a server that took a public key for a secret would compute.
fn hmac_sha256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut key = if secret.len() > 64 { Sha256::digest(secret).to_vec() } else { secret.to_vec() };
    key.resize(64, 0);
    let padded = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_allow_what_the_operator_says_they_do() {
    let key = Key::p256();
    let issuer = Issuer::start(vec![key.published("c")]).await;
    let more = "scope_claims = [\"scope\", \"realm_access.roles\"]\n\
                scopes = { \"img.read\" = \"read\", \"img.run\" = \"run\", \"ops\" = \"admin\" }\n\
                workflows_claim = \"flows\"\nper_minute_claim = \"rate\"\nactive_jobs = 1";
    let (server, folder) = server(&table("corp", &issuer, more), &[]);
    let with = |others: Value| {
        let none = json!({"scope": null});
        key.token(&json!({"alg": "ES256"}), &but(&but(&claims(&issuer, "alice"), none), others))
    };
    // Valid, and allowed nothing.
    let nothing = with(json!({"scope": "comfyport:admin read run admin"}));
    assert_eq!(
        server.expect(server.get("/jobs").bearer_auth(&nothing), 403).await.json()["code"],
        "forbidden"
    );
    let reads = with(json!({"scope": "img.read"}));
    server.expect(server.get("/jobs").bearer_auth(&reads), 200).await;
    server.expect(paint(&server, &reads), 403).await;
    server.expect(paint(&server, &with(json!({"scope": "img.read img.run"}))), 200).await;
    server.expect(server.get("/metrics").bearer_auth(&reads), 403).await;
    let boss = with(json!({"realm_access": {"roles": ["x", "ops"]}}));
    server.expect(server.get("/metrics").bearer_auth(&boss), 200).await;
    for (flows, expected) in [
        (json!(["sd15/*"]), 200),
        (json!("image/resize sd15/txt2img"), 200),
        (json!(["image/*"]), 403),
        (json!([]), 403),
    ] {
        let bound = with(json!({"scope": "img.run", "flows": flows}));
        server.expect(paint(&server, &bound), expected).await;
    }
    // His rate is his, whichever token he sends.
    for left in ["1", "0"] {
        let slow = with(json!({"scope": "img.read", "rate": 2, "sub": "bob", "jti": left}));
        let answer = server.expect(server.get("/jobs").bearer_auth(&slow), 200).await;
        assert_eq!(answer.header("ratelimit"), format!("\"key\";r={left}"));
    }
    let slow = with(json!({"scope": "img.read", "rate": 2, "sub": "bob"}));
    server.expect(server.get("/jobs").bearer_auth(&slow), 429).await;
    let other = with(json!({"scope": "img.read", "rate": 2, "sub": "carol"}));
    server.expect(server.get("/jobs").bearer_auth(&other), 200).await;
    // So is how much waits for him.
    server.expect(server.post("/engines/simulator:drain").bearer_auth(&boss), 200).await;
    let later = || paint(&server, &boss).header("prefer", "respond-async");
    server.expect(later(), 202).await;
    assert_eq!(server.expect(later(), 429).await.json()["code"], "too_many_jobs");
    // An admin is written down by the name his issuer gives him.
    let audit = std::fs::read_to_string(server.data().join("audit.jsonl")).unwrap();
    let drained = audit.lines().find(|line| line.contains("simulator:drain")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(drained).unwrap()["subject"], "corp:alice");
    drop(folder);
}

/// Two issuers, and a key, that know somebody by the same name.
#[tokio::test(flavor = "multi_thread")]
async fn one_name_of_two_issuers_is_two_callers() {
    let (one, two) = (Key::p256(), Key::p256());
    let (first, second) =
        (Issuer::start(vec![one.published("k")]).await, Issuer::start(vec![two.published("k")]).await);
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path(), &(table("one", &first, "") + &table("two", &second, "")));
    let data = folder.path().join("data");
    let place = ["--simulate", "--data-dir", data.to_str().unwrap()];
    let made = run(&[&["keys", "create", "ci", "--owner", "alice"][..], &place].concat());
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let server = Comfyport::simulated_in(&data, &[("COMFYPORT_CONFIG", &config)]);
    let header = json!({"alg": "ES256", "kid": "k"});
    let tokens = [
        one.token(&header, &claims(&first, "alice")),
        two.token(&header, &claims(&second, "alice")),
        // With a name of the other's form.
        two.token(&header, &claims(&second, "one:alice")),
        key,
    ];
    for own in &tokens {
        let job = server.expect(paint(&server, own), 200).await.json();
        let path = format!("/jobs/{}", job["id"].as_str().unwrap());
        for asks in &tokens {
            let expected = if asks == own { 200 } else { 404 };
            server.expect(server.get(&path).bearer_auth(asks), expected).await;
        }
    }
    // Nor does one issuer speak for the other.
    let crossed = one.token(&header, &claims(&second, "alice"));
    assert_eq!(status(&server, &crossed).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_and_issuers_leave() {
    let (old, new) = (Key::p256(), Key::p256());
    let issuer = Issuer::start(vec![old.published("old")]).await;
    let settings = [("COMFYPORT_ACCESS_WRONG_KEYS_PER_MINUTE", "100000")];
    let (server, _folder) = server(&table("corp", &issuer, "rest_s = 1\nrefresh_s = 3600"), &settings);
    let by = |key: &Key, id: &str| key.token(&json!({"alg": "ES256", "kid": id}), &claims(&issuer, "alice"));
    assert_eq!(status(&server, &by(&old, "old")).await, 200);
    // While it is away the keys that were known stay.
    issuer.leave(true);
    let until = |what: &'static str, asked: usize| {
        let issuer = &issuer;
        let token = by(&new, "new");
        let server = &server;
        async move {
            let wait = async {
                while issuer.asked() < asked {
                    status(server, &token).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), wait).await.expect(what);
        }
    };
    until("it was not asked again", issuer.asked() + 1).await;
    assert_eq!(status(&server, &by(&old, "old")).await, 200);
    assert_eq!(status(&server, &by(&new, "new")).await, 401);
    // A key that was changed is found by the first token that names it, once it may be asked for.
    issuer.leave(false);
    issuer.publish(vec![new.published("new")]);
    let changed = async {
        while status(&server, &by(&new, "new")).await != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), changed).await.expect("the new key is not found");
    assert_eq!(status(&server, &by(&old, "old")).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_asks_an_issuer_once() {
    let key = Key::p256();
    let issuer = Issuer::start(vec![key.published("c")]).await;
    let settings = [("COMFYPORT_ACCESS_WRONG_KEYS_PER_MINUTE", "100000")];
    let (server, _folder) = server(&table("corp", &issuer, "rest_s = 3600"), &settings);
    let token = |id: &str| key.token(&json!({"alg": "ES256", "kid": id}), &claims(&issuer, "alice"));
    assert_eq!(status(&server, &token("c")).await, 200);
    let tokens: Vec<String> = (0..300).map(|number| token(&format!("unknown-{number}"))).collect();
    let statuses = futures_util::future::join_all(tokens.iter().map(|token| status(&server, token))).await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(issuer.asked(), 1);
    assert_eq!(status(&server, &token("c")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_was_never_heard_is_no_reason_to_refuse() {
    let key = Key::p256();
    let issuer = Issuer::start(vec![key.published("c")]).await;
    issuer.call_itself(Some("https://somebody.else.example"));
    let (server, _folder) = server(&table("corp", &issuer, "rest_s = 1"), &[]);
    let token = key.token(&json!({"alg": "ES256"}), &claims(&issuer, "alice"));
    let answer = server.expect(server.get("/jobs").bearer_auth(&token), 503).await;
    assert_eq!(answer.json()["code"], "issuer_unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(issuer.asked(), 0);
    server.said("it calls itself \"https://somebody.else.example\"").await;
    issuer.call_itself(None);
    let heard = async {
        while status(&server, &token).await != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("it is not asked again");
}

#[test]
fn settings_of_issuers_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = "name = \"corp\"\naudiences = [\"a\"]\nissuer = \"https://login.example.com\"";
    for (table, said) in [
        (format!("{issuer}\nalgorithms = [\"HS256\"]"), "`HS256`: there are RS256"),
        (format!("{issuer}\nalgorithm = \"RS256\""), "unknown field `algorithm`"),
        (format!("{issuer}\nscopes = {{ x = \"root\" }}"), "unknown variant `root`"),
        (issuer.replace("https", "http"), "`http = true`"),
        ("name = \"corp\"".to_owned(), "missing field `issuer`"),
    ] {
        let config = configured(folder.path(), &format!("[[access.issuers]]\n{table}\n"));
        let refused = run(&["config", "show", "--config", &config]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains(said), "{text}");
    }
}
