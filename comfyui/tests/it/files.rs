//! Files to and from ComfyUI.

use comfyport_comfyui::{ClientError, FileRef, OutputKind};

use crate::fake::Fake;

fn file(name: &str) -> FileRef {
    FileRef {
        filename: name.to_owned(),
        subfolder: String::new(),
        type_: "output".to_owned(),
        key: "images".to_owned(),
        kind: OutputKind::Image,
        animated: false,
    }
}

#[tokio::test]
async fn a_file_streams() {
    let fake = Fake::start().await;
    let client = fake.client(|_| {});
    let download = client.view(&file("a.png")).await.unwrap();
    assert_eq!(download.content_type.as_deref(), Some("image/png"));
    assert_eq!(download.content_length, Some(7));
    assert_eq!(download.bytes(100).await.unwrap(), "picture");
    let missing = client.view(&file("gone.png")).await.unwrap_err();
    assert!(matches!(missing, ClientError::Status { status: 404, .. }));
}

#[tokio::test]
async fn a_short_file_is_an_error() {
    let fake = Fake::start().await;
    let download = fake.client(|_| {}).view(&file("short.png")).await.unwrap();
    fake.cut.notify_one();
    let error = download.bytes(100).await.unwrap_err();
    assert!(matches!(error, ClientError::Truncated { expected: 10, received: 0..=3 }), "{error:?}");
    let capped = fake.client(|config| config.max_download = 5).view(&file("a.png")).await;
    assert!(matches!(capped, Err(ClientError::TooLarge { limit: 5 })));
}

#[tokio::test]
async fn a_huge_answer_is_refused() {
    let fake = Fake::start().await;
    let client = fake.client(|config| config.max_body = 1024);
    let error = client.object_info().await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit: 1024 }), "{error:?}");
    assert!(!format!("{error:?}").contains("127.0.0.1"));
}

fn data() -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static {
    futures_util::stream::iter([Ok("da".into()), Ok("ta".into())])
}

#[tokio::test]
async fn an_upload_keeps_its_name() {
    let fake = Fake::start().await;
    let client = fake.client(|_| {});
    let value = client.upload("é.png", "s", "image/png", 4, data()).await.unwrap();
    assert_eq!(value, "s/é.png");
    let body = String::from_utf8(fake.seen.borrow().upload.clone()).unwrap();
    assert!(body.contains(r#"name="image"; filename="é.png""#), "{body}");
    for (name, text) in [("type", "input"), ("subfolder", "s"), ("overwrite", "true")] {
        assert!(body.contains(&format!("name=\"{name}\"\r\n\r\n{text}\r\n")), "{body}");
    }
    let error = client.upload("../x", "", "image/png", 4, data()).await.unwrap_err();
    assert!(matches!(error, ClientError::InvalidName));
}
