//! Files from CivitAI.

use comfyport_depot::{
    Depot, PullError, Sha256, Source, Wanted,
    testing::{FakeCivitAi, safetensors, version},
};
use serde_json::json;

use crate::{Home, TOKEN, read, to_civitai, token, wanted};

const SOURCE: &str = "https://civitai.com/api/download/models/7?type=Model&format=SafeTensor";

async fn civitai(content: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> FakeCivitAi {
    let civitai = FakeCivitAi::start().await;
    let mut version = version(7, "x.safetensors", content);
    change(&mut version);
    civitai.put(version, content.to_vec());
    civitai
}

#[tokio::test]
async fn a_file_comes_from_storage_and_the_token_does_not_go_there() {
    let content = safetensors(1, 100_000);
    let civitai = civitai(&content, |_| {}).await;
    civitai.want_token(7, TOKEN);
    for source in [SOURCE, "civitai:7", "https://civitai.com/models/1/some?modelVersionId=7"] {
        let home = Home::new();
        let pulled = home.pull_with(to_civitai(&civitai, token()), &wanted(source)).await.unwrap();
        assert_eq!((read(&pulled.path), pulled.sha256), (content.clone(), Some(Sha256::of(&content))));
    }
    assert!(civitai.storage.host.seen().iter().all(|seen| seen.header("authorization").is_none()));
    assert!(civitai.host.seen().iter().all(|seen| !seen.target.contains("sesame")));
    let error = Home::new().pull_with(to_civitai(&civitai, None), &wanted(SOURCE)).await.unwrap_err();
    assert_eq!(error.code(), "unauthorized");
    assert!(error.next_step().contains("CIVITAI_TOKEN"), "{}", error.next_step());
}

#[tokio::test]
async fn content_is_found_by_its_hash() {
    let content = safetensors(2, 1000);
    let civitai = civitai(&content, |_| {}).await;
    let digest = Sha256::of(&content);
    let home = Home::new();
    let depot = Depot::new(home.settings.clone(), to_civitai(&civitai, None)).unwrap();
    let found = depot.find_by_hash(&digest).await.unwrap().unwrap();
    assert_eq!((found.file.as_str(), found.model), ("x.safetensors", Some(1)));
    assert_eq!(depot.find_by_hash(&Sha256::of(b"else")).await.unwrap(), None);
    let found = Wanted { sources: vec![found.source], sha256: Some(digest), ..wanted("civitai:1") };
    let pulled = home.pull_with(to_civitai(&civitai, None), &found).await.unwrap();
    assert_eq!(read(&pulled.path), content);
    let unknown: Source = format!("civitai:sha256:{}", Sha256::of(b"else")).parse().unwrap();
    let unknown = Wanted { sources: vec![unknown], ..wanted("civitai:1") };
    let error = Home::new().pull_with(to_civitai(&civitai, None), &unknown).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
}

#[tokio::test]
async fn what_cannot_or_should_not_be_had_is_refused_before_it_is_asked_for() {
    let content = safetensors(3, 1000);
    for (change, code, said) in [
        (json!({"usageControl": "Generation"}), "not_downloadable", "Generation"),
        (json!({"availability": "EarlyAccess"}), "early_access", "early access"),
        (json!({"earlyAccessEndsAt": "2999-01-01T00:00:00.000Z"}), "early_access", "2999"),
        (json!({"files": []}), "no_file", "none of its files"),
        (json!({"pickleScanResult": "Danger"}), "scan", "pickle scan says Danger"),
        (json!({"virusScanResult": "Pending"}), "scan", "virus scan says Pending"),
        (json!({"pickleScanResult": null}), "scan", "says nothing"),
    ] {
        let civitai = civitai(&content, |version| {
            for (key, value) in change.as_object().unwrap() {
                let file = key.ends_with("ScanResult");
                let place = if file { &mut version["files"][0] } else { &mut *version };
                place[key] = value.clone();
            }
        });
        let civitai = civitai.await;
        let home = Home::new();
        let error = home.pull_with(to_civitai(&civitai, None), &wanted(SOURCE)).await.unwrap_err();
        assert!(error.code() == code && error.to_string().contains(said), "{code}: {error}");
        assert!(civitai.storage.host.seen().is_empty());
        home.assert_nothing_visible();
    }
    let over =
        civitai(&content, |version| version["earlyAccessEndsAt"] = json!("2020-01-01T00:00:00Z")).await;
    Home::new().pull_with(to_civitai(&over, None), &wanted(SOURCE)).await.unwrap();
}

#[tokio::test]
async fn a_page_to_log_in_is_not_a_model() {
    let content = safetensors(4, 1000);
    let civitai = civitai(&content, |_| {}).await;
    civitai.show_page(7);
    let home = Home::new();
    let error = home.pull_with(to_civitai(&civitai, None), &wanted(SOURCE)).await.unwrap_err();
    assert!(matches!(error, PullError::Html { .. }), "{error}");
    assert!(error.next_step().contains("CIVITAI_TOKEN"), "{}", error.next_step());
    home.assert_nothing_visible();
}

#[tokio::test]
async fn a_hash_that_is_not_told_is_no_hindrance_and_a_wrong_one_is() {
    let content = safetensors(5, 1000);
    let silent =
        civitai(&content, |version| version["files"][0]["hashes"] = json!({"AutoV2": "0123456789"})).await;
    let pulled = Home::new().pull_with(to_civitai(&silent, None), &wanted(SOURCE)).await.unwrap();
    assert_eq!(pulled.sha256, Some(Sha256::of(&content)));
    let lying = civitai(&content, |version| {
        version["files"][0]["hashes"]["SHA256"] = json!(Sha256::of(b"else").to_string());
    });
    let lying = lying.await;
    let home = Home::new();
    let error = home.pull_with(to_civitai(&lying, None), &wanted(SOURCE)).await.unwrap_err();
    assert_eq!(error.code(), "wrong_hash");
    home.assert_nothing_visible();
}

#[tokio::test]
async fn of_several_files_the_one_that_was_said_is_taken() {
    let content = safetensors(6, 1000);
    let civitai = civitai(&content, |version| {
        let mut other = version["files"][0].clone();
        other["metadata"]["fp"] = json!("fp32");
        other["hashes"]["SHA256"] = json!(Sha256::of(b"else").to_string());
        version["files"].as_array_mut().unwrap().insert(0, other);
    });
    let civitai = civitai.await;
    let picked = format!("{SOURCE}&fp=fp16");
    Home::new().pull_with(to_civitai(&civitai, None), &wanted(&picked)).await.unwrap();
    let locked = Wanted { sha256: Some(Sha256::of(&content)), ..wanted("civitai:7") };
    Home::new().pull_with(to_civitai(&civitai, None), &locked).await.unwrap();
    let none = format!("{SOURCE}&fp=nf4");
    let error = Home::new().pull_with(to_civitai(&civitai, None), &wanted(&none)).await.unwrap_err();
    assert_eq!(error.code(), "no_file");
    let none = Wanted { sha256: Some(Sha256::of(b"neither")), ..wanted("civitai:7") };
    let error = Home::new().pull_with(to_civitai(&civitai, None), &none).await.unwrap_err();
    assert_eq!(error.code(), "no_file");
}
