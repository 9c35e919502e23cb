//! Paints a picture, shows how far it is, and makes it smaller.
//!
//! In one terminal `comfyport serve --simulate`, in another
//! `cargo run -p comfyport-client --example paint -- http://127.0.0.1:3000 "a fox in the snow"`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example speaks to people")]

use std::process::ExitCode;

use comfyport_client::{
    Call as _, Client, Error, Event, Image, RunOptions, Seed,
    workflows::{image::resize::ResizeRequest, options::Scheduler, sd15::txt2img::Txt2imgRequest},
};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "http://127.0.0.1:3000".to_owned());
    let prompt = arguments.next().unwrap_or_else(|| "a lighthouse at dusk".to_owned());
    match paint(&url, prompt).await {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Error::Problem(problem)) => eprintln!("the server refused: {problem}"),
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::FAILURE
}

async fn paint(url: &str, prompt: String) -> Result<(), Error> {
    let client = Client::new(url)?;
    let request =
        Txt2imgRequest { prompt, steps: Some(12), seed: Some(Seed(u64::MAX)), ..Txt2imgRequest::default() };
    let request = request.with(Txt2imgRequest::SCHEDULER, Scheduler::Karras);

    let mut events = client.events(&request, &RunOptions::default()).await?;
    let mut painted = None;
    while let Some(event) = events.next().await {
        match event? {
            Event::Queued { engine: Some(engine), .. } => println!("queued on {engine}"),
            Event::Queued { engine: None, .. } => println!("queued"),
            Event::Progress { percent, title, .. } => {
                println!("{percent:>5.1} % {}", title.unwrap_or_default());
            }
            Event::Result(run) => painted = Some(run),
            _ => {}
        }
    }
    let Some(run) = painted else { return Err(Error::Ended) };
    println!("painted with seed {:?} in {} ms", run.seed(), run.timing.total_ms);

    let Some(picture) = run.outputs.image.first() else { return Ok(()) };
    let image = Image::from_bytes(client.fetch(picture).await?, Some(picture.filename.clone()), None);
    let small = ResizeRequest { image, width: Some(64), height: Some(64), ..ResizeRequest::default() };
    for artifact in client.run(&small).await?.outputs.image {
        println!("{}: {:?} x {:?} pixels", artifact.filename, artifact.width, artifact.height);
    }
    Ok(())
}
