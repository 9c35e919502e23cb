//! Sources, asked what they say. Nothing is fetched.

use std::time::Duration;

use comfyport_depot::{
    Described, Inquiry, Retries, Sha256,
    testing::{FakeCivitAi, FakeHub, FileHost, Gate, Reply, safetensors, version},
};

use crate::{TOKEN, to_civitai, to_hub, token, wanted, ways};

fn soon() -> Retries {
    Retries { failures: 3, first: Duration::from_millis(1), ..Retries::default() }
}

#[tokio::test]
async fn sizes_and_hashes_are_told_by_those_who_know_them() {
    let content = safetensors(1, 5000);
    let (size, digest) = (Some(content.len() as u64), Some(Sha256::of(&content)));
    let (hub, civitai, web) = (FakeHub::start().await, FakeCivitAi::start().await, FileHost::start().await);
    hub.put("o/n", "x.safetensors", content.clone());
    civitai.put(version(7, "x.safetensors", &content), content.clone());
    web.put("/x.safetensors", content.clone());
    for (ways, source, sha256) in [
        (to_hub(&hub, None), "hf://o/n/x.safetensors".to_owned(), digest),
        (to_civitai(&civitai, None), "civitai:7".to_owned(), digest),
        (ways(), format!("{}x.safetensors", web.host.url), None),
    ] {
        let asked = wanted(&source);
        let said = Inquiry::new(ways, soon()).describe(&asked, &asked.sources[0]).await.unwrap();
        assert_eq!((said.size, said.sha256), (size, sha256), "{source}");
    }
    // Who may not have the file is told its hash nevertheless.
    civitai.want_token(7, TOKEN);
    let asked = wanted("civitai:7");
    let inquiry = Inquiry::new(to_civitai(&civitai, None), soon());
    let said = inquiry.describe(&asked, &asked.sources[0]).await.unwrap();
    assert_eq!(said, Described { sha256: digest, ..Described::default() });
}

#[tokio::test]
async fn what_passes_is_asked_again_and_what_does_not_is_told() {
    let hub = FakeHub::start().await;
    hub.put("o/n", "x.safetensors", safetensors(1, 5000));
    let inquiry = Inquiry::new(to_hub(&hub, None), soon());
    let asked = wanted("hf://o/n/x.safetensors");
    hub.reply(Reply::new(503, ""));
    hub.reply(Reply::new(429, "").with("ratelimit", "\"api\";r=0;t=0"));
    inquiry.describe(&asked, &asked.sources[0]).await.unwrap();
    for _ in 0..3 {
        hub.reply(Reply::new(503, ""));
    }
    assert_eq!(inquiry.describe(&asked, &asked.sources[0]).await.unwrap_err().code(), "network");
    hub.reply(Reply::new(429, "").with("retry-after", "3600"));
    assert_eq!(inquiry.describe(&asked, &asked.sources[0]).await.unwrap_err().code(), "rate_limited");
    hub.gate("o/n", Gate::Gated(vec![TOKEN.to_owned()]));
    assert_eq!(inquiry.describe(&asked, &asked.sources[0]).await.unwrap_err().code(), "gated");
    let known = Inquiry::new(to_hub(&hub, token()), soon());
    known.describe(&asked, &asked.sources[0]).await.unwrap();
}

#[tokio::test]
async fn files_are_found_by_name_in_repositories_called_like_them() {
    let hub = FakeHub::start().await;
    hub.put("o/dream-shaper-8", "sub/dream_shaper_8.safetensors", safetensors(1, 100));
    hub.put("p/dream-shaper", "dream_shaper_8.safetensors", safetensors(1, 100));
    hub.put("p/dream-shaper", "other.safetensors", safetensors(1, 100));
    let inquiry = Inquiry::new(to_hub(&hub, None), soon());
    let found = inquiry.find_by_name("sub/dream_shaper_8.safetensors").await.unwrap();
    let urls: Vec<&str> = found.iter().map(|one| one.url.as_str()).collect();
    assert_eq!(urls, ["https://huggingface.co/o/dream-shaper-8/resolve/main/sub/dream_shaper_8.safetensors"]);
    assert!(!found[0].gated);
    assert_eq!(inquiry.find_by_name("nobody.safetensors").await.unwrap(), []);
    // What is no file of a repository is not told, whatever they say.
    hub.reply(Reply::new(200, r#"[{"id":"o/n","siblings":[{"rfilename":"../../x.safetensors"}]}]"#));
    assert_eq!(inquiry.find_by_name("x.safetensors").await.unwrap(), []);
    hub.reply(Reply::new(200, "<html>"));
    assert_eq!(inquiry.find_by_name("x.safetensors").await.unwrap_err().code(), "odd_answer");
}
