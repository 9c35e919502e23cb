//! Files from Hugging Face.

use std::sync::Arc;

use comfyport_depot::{
    How, PullError, Sha256, Wanted,
    testing::{FakeHub, Fault, Gate, Reply, safetensors},
};
use tokio::sync::Notify;

use crate::{Home, TOKEN, name, read, to_hub, token, wanted};

const SOURCE: &str = "https://huggingface.co/o/n/resolve/main/x.safetensors";

async fn hub(content: &[u8]) -> FakeHub {
    let hub = FakeHub::start().await;
    hub.put("o/n", "x.safetensors", content.to_vec());
    hub
}

#[tokio::test]
async fn a_large_file_comes_from_storage_and_the_token_does_not_go_there() {
    let content = safetensors(1, 3 << 20);
    let (home, hub) = (Home::new(), hub(&content).await);
    hub.gate("o/n", Gate::Gated(vec![TOKEN.to_owned()]));
    let pulled = home.pull_with(to_hub(&hub, token()), &wanted(SOURCE)).await.unwrap();
    assert_eq!(read(&pulled.path), content);
    assert_eq!(pulled.path, home.model("loras/x.safetensors").canonicalize().unwrap());
    assert_eq!(pulled.sha256, Some(Sha256::of(&content)));
    assert_eq!(pulled.how, How::Fetched { bytes: content.len() as u64, resumed: 0 });
    assert_eq!(pulled.commit.as_deref(), Some("0123456789abcdef0123456789abcdef01234567"));
    let at_hub = hub.host.seen();
    assert!(at_hub.iter().all(|seen| seen.header("authorization") == Some("Bearer hf_sesame")));
    assert_eq!(at_hub[0].method, "HEAD");
    assert!(at_hub.iter().all(|seen| seen.header("accept-encoding") == Some("identity")));
    let at_storage = hub.storage.host.seen();
    assert_eq!(at_storage.len(), 1);
    assert_eq!(at_storage[0].header("authorization"), None);
    assert!(home.files("cache/parts").is_empty(), "{:?}", home.files("cache/parts"));
    // A second time, nothing is asked: it is there.
    let again = home.pull_with(to_hub(&hub, token()), &wanted(SOURCE)).await.unwrap();
    assert_eq!(again.how, How::Present);
    // Under another name, it is in the cache.
    let other = Wanted { name: name("loras/sub/y.safetensors"), ..wanted(SOURCE) };
    let other = home.pull_with(to_hub(&hub, token()), &other).await.unwrap();
    assert_eq!((other.how, hub.storage.host.seen().len()), (How::Cached, 1));
    assert_eq!(read(&other.path), content);
}

#[tokio::test]
async fn a_small_file_has_gits_hash_and_a_renamed_repository_is_followed() {
    let (home, hub) = (Home::new(), FakeHub::start().await);
    let content = safetensors(2, 100);
    hub.put_small("new/name", "x.safetensors", content.clone());
    hub.rename("o/n", "new/name");
    let pulled = home.pull_with(to_hub(&hub, token()), &wanted(SOURCE)).await.unwrap();
    assert_eq!((read(&pulled.path), pulled.sha256), (content.clone(), Some(Sha256::of(&content))));
    let targets: Vec<String> = hub.host.seen().iter().map(|seen| seen.method.clone()).collect();
    assert_eq!(targets, ["HEAD", "HEAD", "GET", "GET"]);
}

#[tokio::test]
async fn each_refusal_has_its_own_next_step() {
    let content = safetensors(3, 1000);
    let hub = hub(&content).await;
    let tokens = vec!["another".to_owned()];
    for (gate, with, code, step) in [
        (Some(Gate::Gated(tokens.clone())), None, "gated", "set HF_TOKEN"),
        (Some(Gate::Gated(tokens.clone())), token(), "gated", "with the account whose token is in HF_TOKEN"),
        (Some(Gate::Private(tokens.clone())), None, "unauthorized", "set HF_TOKEN"),
        (Some(Gate::Private(tokens)), token(), "not_found", "check the address"),
    ] {
        let home = Home::new();
        hub.gate("o/n", gate.unwrap());
        let error = home.pull_with(to_hub(&hub, with), &wanted(SOURCE)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.next_step().contains(step), "{}", error.next_step());
        if code == "gated" {
            assert!(error.next_step().contains(&format!("{}o/n", hub.host.url)), "{}", error.next_step());
        }
        if code == "unauthorized" {
            let said = error.to_string();
            assert!(
                ["private", "gated", "does not exist"].iter().all(|meaning| said.contains(meaning)),
                "{said}"
            );
        }
        home.assert_nothing_visible();
    }
    for (source, what) in [
        ("hf://o/n/y.safetensors", "the file"),
        ("hf://o/n@v9/x.safetensors", "the revision"),
        ("hf://o/none/x.safetensors", "the repository"),
    ] {
        hub.gate("o/n", Gate::Gated(vec![TOKEN.to_owned()]));
        let error = Home::new().pull_with(to_hub(&hub, token()), &wanted(source)).await.unwrap_err();
        assert!(matches!(&error, PullError::NotFound { what: missing, .. } if *missing == what), "{error}");
    }
    hub.reply(Reply::new(403, ""));
    let error = Home::new().pull_with(to_hub(&hub, token()), &wanted(SOURCE)).await.unwrap_err();
    assert_eq!(error.code(), "forbidden");
}

#[tokio::test]
async fn rate_limits_are_obeyed_up_to_a_bound() {
    let content = safetensors(4, 1000);
    let hub = hub(&content).await;
    let limited = |seconds: u64| {
        Reply::new(429, "")
            .with("ratelimit", format!("\"api\";r=0;t={seconds}"))
            .with("ratelimit-policy", "\"fixed window\";\"api\";q=500;w=300")
    };
    hub.reply(limited(0));
    let home = Home::new();
    let before = std::time::Instant::now();
    home.pull_with(to_hub(&hub, None), &wanted(SOURCE)).await.unwrap();
    assert!(before.elapsed().as_millis() >= 1000, "one second more than was said");
    assert!(home.told().contains("the host asks for a pause"), "{}", home.told());
    hub.reply(limited(55));
    let home = Home::new();
    let error = home.pull_with(to_hub(&hub, None), &wanted(SOURCE)).await.unwrap_err();
    assert!(matches!(error, PullError::RateLimited { wait_s: 56, .. }), "{error}");
    assert!(error.next_step().contains("56 s"), "{}", error.next_step());
    home.assert_nothing_visible();
}

#[tokio::test]
async fn a_signed_address_that_expires_on_the_way_is_asked_for_anew() {
    let content = safetensors(5, 2 << 20);
    let hub = hub(&content).await;
    let home = Home::new();
    // The first half comes; what is asked with the same address afterwards is refused.
    hub.storage.fault(Fault::Cut(1 << 20));
    hub.storage.fault(Fault::Status(403, Vec::new()));
    let pulled = home.pull_with(to_hub(&hub, None), &wanted(SOURCE)).await.unwrap();
    assert_eq!(read(&pulled.path), content);
    let seen = hub.storage.host.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2].header("range"), Some("bytes=1048576-"));
    assert_eq!(pulled.how, How::Fetched { bytes: content.len() as u64, resumed: 0 });
    assert!(home.told().contains("no longer valid"), "{}", home.told());
    // One that is refused for ever is an error of its own.
    let home = Home::new();
    for _ in 0..3 {
        hub.storage.fault(Fault::Status(403, Vec::new()));
    }
    let error = home.pull_with(to_hub(&hub, None), &wanted(SOURCE)).await.unwrap_err();
    assert!(matches!(error, PullError::Expired { tries: 3, .. }), "{error}");
}

#[tokio::test]
async fn content_that_changes_on_the_way_is_fetched_from_the_beginning() {
    let (old, new) = (safetensors(6, 2 << 20), safetensors(7, 2 << 20));
    let hub = hub(&old).await;
    let home = Home::new();
    let go_on = Arc::new(Notify::new());
    hub.storage.fault(Fault::Hold(1 << 20, Arc::clone(&go_on)));
    let wanted = wanted(SOURCE);
    let pull = home.pull_with(to_hub(&hub, None), &wanted);
    let replace = async {
        while hub.storage.host.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        // The connection breaks off, and the hub has another file under the same name.
        hub.put("o/n", "x.safetensors", new.clone());
        hub.storage.fault(Fault::Cut(0));
        go_on.notify_one();
    };
    let (pulled, ()) = tokio::join!(pull, replace);
    // The first connection went on to its end: it was the old content, whole.
    assert_eq!(read(&pulled.unwrap().path), old);

    let home = Home::new();
    hub.put("o/n", "x.safetensors", old.clone());
    hub.storage.fault(Fault::Cut(1 << 20));
    let hub_now = hub.clone();
    let newer = new.clone();
    let swap = move || hub_now.put("o/n", "x.safetensors", newer.clone());
    let told = Arc::clone(&home.told);
    let pull = home.pull_with(to_hub(&hub, None), &wanted);
    let swap_when_broken = async {
        // As soon as the storage was asked, the hub has something else for the next time.
        let before = hub.storage.host.seen().len();
        while hub.storage.host.seen().len() == before {
            tokio::task::yield_now().await;
        }
        swap();
    };
    let (pulled, ()) = tokio::join!(pull, swap_when_broken);
    assert_eq!(read(&pulled.unwrap().path), new, "{}", told.lock().unwrap().join("\n"));
}

#[tokio::test]
async fn what_is_locked_is_compared_before_anything_is_fetched() {
    let (content, other) = (safetensors(8, 1000), safetensors(9, 1000));
    let hub = hub(&content).await;
    let home = Home::new();
    let hash = Wanted { sha256: Some(Sha256::of(&other)), ..wanted(SOURCE) };
    let error = home.pull_with(to_hub(&hub, None), &hash).await.unwrap_err();
    assert_eq!(error.code(), "wrong_hash");
    let size = Wanted { size: Some(7), ..wanted(SOURCE) };
    let error = home.pull_with(to_hub(&hub, None), &size).await.unwrap_err();
    assert_eq!(error.code(), "wrong_size");
    assert!(hub.storage.host.seen().is_empty());
    home.assert_nothing_visible();
}
