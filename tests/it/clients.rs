//! Clients: the typed one in Rust against a running server, and the command that writes those in other languages.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use comfyport_client::{
    Call as _, Client, Error, Event, Media, RunOptions, Seed, Source, media_from_path,
    workflows::{
        conjure::generate_flux_mesh::GenerateFluxMeshRequest, image::resize::ResizeRequest,
        options::Scheduler, sd15::img2img::Img2imgRequest, sd15::txt2img::Txt2imgRequest,
    },
};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use crate::process::{Comfyport, run};

fn fox() -> Txt2imgRequest {
    Txt2imgRequest { prompt: "a fox".to_owned(), steps: Some(4), ..Txt2imgRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_requests_run_and_their_outputs_are_fetched() {
    let server = Comfyport::simulated();
    let client = Client::new(server.url()).unwrap();
    let request = Txt2imgRequest { seed: Some(Seed(u64::MAX)), ..fox() };
    let request = request.with(Txt2imgRequest::SCHEDULER, Scheduler::Karras);
    let run = client.run(&request).await.unwrap();
    assert_eq!(run.seed(), Some(u64::MAX));
    assert_eq!(run.params["advanced"]["scheduler"], "karras");
    assert!(run.simulated);
    let [artifact] = run.outputs.image.as_slice() else { panic!("{:?}", run.outputs) };
    let picture = client.fetch(artifact).await.unwrap();
    assert_eq!(artifact.sha256, format!("{:x}", Sha256::digest(&picture)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_uploaded_is_used() {
    let server = Comfyport::simulated();
    let client = Client::new(server.url()).unwrap();
    let painted = client.run(&fox()).await.unwrap().outputs.image.remove(0);
    let picture = client.fetch(&painted).await.unwrap();
    let upload = client.upload(picture.clone()).await.unwrap();
    assert_eq!((upload.size, &upload.sha256), (picture.len() as u64, &painted.sha256));
    assert_eq!((upload.width, upload.height), (painted.width, painted.height));
    let request = || ResizeRequest { image: upload.media(), ..ResizeRequest::default() };
    assert_eq!(client.run(&request()).await.unwrap().params["image"]["size"], upload.size);
    assert!(client.check(&request()).await.unwrap().ready);
    client.forget(&upload).await.unwrap();
    let error = client.run(&request()).await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "invalid_request", "{error}");
    let error = client.upload("just words").await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "unsupported_media", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_sent_from_memory_and_from_a_path() {
    let server = Comfyport::simulated();
    let client = Client::new(server.url()).unwrap();
    let picture = client.run(&fox()).await.unwrap().outputs.image;
    let picture = client.fetch(&picture[0]).await.unwrap();

    let image = Media::from_bytes(picture.clone(), None, None);
    let prompt = "line\nbreaks".to_owned();
    let edit = Img2imgRequest { prompt, image, seed: Some(Seed(u64::MAX)), ..Img2imgRequest::default() };
    let edited = client.run(&edit).await.unwrap();
    assert_eq!(edited.seed(), Some(u64::MAX), "a seed in a form");
    assert_eq!(edited.params["prompt"], "line\nbreaks");
    assert_eq!(edited.params["image"]["size"], picture.len());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    fs::write(&path, &picture).unwrap();
    let inputimage = media_from_path(&path).await.unwrap();
    let mesh = GenerateFluxMeshRequest { prompt: "a chair".to_owned(), inputimage, ..Default::default() };
    let mesh = mesh.with(GenerateFluxMeshRequest::MESH_SEED, Seed(u64::MAX - 1));
    let mesh = client.run(&mesh).await.unwrap();
    assert_eq!(mesh.params["advanced"]["mesh_seed"], u64::MAX - 1);
    assert_eq!((mesh.outputs.export_image.len(), mesh.outputs.exportglb.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_before_the_result() {
    let server = Comfyport::simulated();
    let client = Client::new(server.url()).unwrap();
    let events = client.events(&fox(), &RunOptions::default()).await.unwrap();
    let events: Vec<_> = events.map(Result::unwrap).collect().await;
    assert!(matches!(events.as_slice(), [Event::Queued { .. }, Event::Started { .. }, ..]), "{events:?}");
    let percents: Vec<f64> = events
        .iter()
        .filter_map(|event| if let Event::Progress { percent, .. } = event { Some(*percent) } else { None })
        .collect();
    assert!(percents.len() > 1 && percents.is_sorted(), "{percents:?}");
    assert!(matches!(events.last(), Some(Event::Result(run)) if run.outputs.image.len() == 1), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_typed_and_name_every_fault() {
    let server = Comfyport::simulated();
    let client = Client::new(server.url()).unwrap();
    let request = Txt2imgRequest { steps: Some(0), ..fox() }.with(Txt2imgRequest::DENOISE, 2.0);
    let error = client.run(&request).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!((problem.code.as_str(), problem.status, problem.retryable), ("invalid_request", 422, false));
    assert_eq!(problem.source, Source::Request);
    let pointers: Vec<&str> = problem.errors.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/steps", "/advanced/denoise"]);

    let options = RunOptions { timeout: Some(Duration::from_millis(1)), ..RunOptions::default() };
    let error = client.run_with(&fox(), &options).await.unwrap_err();
    assert!(
        matches!(&error, Error::Problem(problem) if problem.code == "timeout" && problem.retryable),
        "{error}"
    );

    let image = Media::from_url("http://127.0.0.1:1/a.png");
    let error = client.run(&ResizeRequest { image, ..ResizeRequest::default() }).await.unwrap_err();
    assert_eq!(error.problem().unwrap().errors[0].param.as_deref(), Some("image"), "{error}");

    assert!(client.check(&fox()).await.unwrap().ready);
    let nobody = Client::new("http://127.0.0.1:1").unwrap().run(&fox()).await.unwrap_err();
    assert!(matches!(nobody, Error::Transport(_)), "{nobody}");
}

fn written(folder: &Path, under: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            written(folder, &path, files);
        } else {
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

#[test]
fn packages_are_written_whole_and_the_same_each_time() {
    let expected = [
        ("ts", vec!["README.md", "package.json", "src/index.ts", "tsconfig.json"]),
        (
            "python",
            vec![
                "README.md",
                "comfyport_client/__init__.py",
                "comfyport_client/_runtime.py",
                "comfyport_client/py.typed",
                "comfyport_client/workflows.py",
                "pyproject.toml",
            ],
        ),
    ];
    for (language, names) in expected {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a/b");
        let write = || {
            let output = run(&["client", language, "--out", out.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(output.stdout.is_empty());
            let mut files = BTreeMap::new();
            written(&out, &out, &mut files);
            files
        };
        let files = write();
        assert_eq!(files.keys().collect::<Vec<_>>(), names);
        let whole: String = files.values().map(|file| String::from_utf8_lossy(file)).collect();
        for word in
            ["sd15/txt2img", "wan/txt2video", "\"karras\"", "Default 20. 1 to 10000", "invalid_request"]
        {
            assert!(whole.contains(word), "no {word} in {language}");
        }
        // A file that was changed is put right; what is not ours stays.
        fs::write(out.join("README.md"), "changed").unwrap();
        fs::write(out.join("own.txt"), "kept").unwrap();
        let mut again = write();
        assert_eq!(again.remove("own.txt").as_deref(), Some(b"kept".as_slice()));
        assert_eq!(again, files);
    }
}

#[test]
fn a_client_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = run(&["client", "ts", "--out", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("file"));
    assert_eq!(run(&["client", "cobol"]).status.code(), Some(2));
}
