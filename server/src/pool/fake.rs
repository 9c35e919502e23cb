//! An engine that has what a test gives it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use comfyport_comfyui::{ClientError, FileRef, SubmitError};
use futures_util::{FutureExt, future::BoxFuture};
use uuid::Uuid;

use super::{Place, PlaceSettings, Pool, Settings};
use crate::{
    engine::{Capabilities, Download, Engine, EngineError, Health, InputFile, Prompt, Queue, Watch},
    readiness::{Ages, Choice, RequiredModel, Requirement},
};

#[derive(Debug)]
pub(super) struct Fake {
    name: String,
    classes: Mutex<BTreeSet<String>>,
    files: Mutex<BTreeSet<String>>,
    answers: AtomicBool,
    asked: AtomicUsize,
    queue: Mutex<Queue>,
    cancelled: Mutex<Vec<Uuid>>,
    told: tokio::sync::Notify,
}

pub(super) fn engine(name: &str, classes: &[&str], files: &[&str]) -> Arc<Fake> {
    let fake = Fake {
        name: name.to_owned(),
        classes: Mutex::default(),
        files: Mutex::default(),
        answers: AtomicBool::new(true),
        asked: AtomicUsize::new(0),
        queue: Mutex::default(),
        cancelled: Mutex::default(),
        told: tokio::sync::Notify::new(),
    };
    fake.has(classes, files);
    Arc::new(fake)
}

pub(super) fn pool(engines: &[&Arc<Fake>]) -> Pool {
    pool_with(engines, Settings::default())
}

pub(super) fn pool_with(engines: &[&Arc<Fake>], settings: Settings) -> Pool {
    let ages = Ages { fresh: Duration::from_hours(1), error: Duration::ZERO };
    let place = |fake: &&Arc<Fake>| Place::new(Arc::clone(*fake) as _, PlaceSettings::default(), ages);
    Pool::new(engines.iter().map(place).collect(), settings)
}

/// Classes, and files of the folder `loras`.
pub(super) fn need(classes: &[&str], files: &[(&str, Choice)]) -> Requirement {
    let model = |(file, choice): &(&str, Choice)| RequiredModel {
        folder: "loras".to_owned(),
        file: (*file).to_owned(),
        node: "1".to_owned(),
        input: "lora_name".to_owned(),
        url: None,
        choice: *choice,
        from_url: false,
    };
    let classes = classes.iter().map(|class| (*class).to_owned()).collect();
    Requirement { models: files.iter().map(model).collect(), ..Requirement::of_classes("test", classes) }
}

impl Fake {
    pub(super) fn has(&self, classes: &[&str], files: &[&str]) {
        *self.classes.lock().unwrap() = classes.iter().map(|class| (*class).to_owned()).collect();
        *self.files.lock().unwrap() = files.iter().map(|file| (*file).to_owned()).collect();
    }

    pub(super) fn answers(&self, answers: bool) {
        self.answers.store(answers, Ordering::SeqCst);
    }

    pub(super) fn queues(&self, running: &[&str], pending: &[&str]) {
        let own = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        *self.queue.lock().unwrap() = Queue { running: own(running), pending: own(pending) };
    }

    /// Waits until it was told to cancel something: everything it was told to.
    pub(super) async fn cancelled(&self) -> Vec<Uuid> {
        self.told.notified().await;
        self.cancelled.lock().unwrap().clone()
    }

    /// How many questions it heard.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Lets the pool ask anew.
    pub(super) fn forget(&self, pool: &Pool) {
        pool.place(&self.name).unwrap().readiness.forget();
    }

    fn answer<T: Send + 'static>(&self, answer: T) -> BoxFuture<'_, Result<T, EngineError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.answers.load(Ordering::SeqCst);
        let answer = if answers { Ok(answer) } else { Err(EngineError::Unreachable("test".to_owned())) };
        async { answer }.boxed()
    }
}

impl Engine for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_simulated(&self) -> bool {
        false
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, EngineError>> {
        let classes = Arc::new(self.classes.lock().unwrap().clone());
        let (output_classes, required, uploads) = (Arc::default(), Arc::default(), Arc::default());
        self.answer(Capabilities { output_classes, classes, required, uploads, modules: Arc::default() })
    }

    fn models<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Option<BTreeSet<String>>, EngineError>> {
        let files = self.files.lock().unwrap().clone();
        self.answer((folder == "loras").then_some(files))
    }

    fn folders(&self) -> BoxFuture<'_, Result<BTreeSet<String>, EngineError>> {
        self.answer(["loras".to_owned()].into())
    }

    fn health(&self) -> BoxFuture<'_, Result<Health, EngineError>> {
        self.answer(Health::default())
    }

    fn upload<'a>(&'a self, file: InputFile<'a>) -> BoxFuture<'a, Result<String, EngineError>> {
        self.answer(file.name.to_owned())
    }

    fn submit<'a>(&'a self, _: Prompt<'a>) -> BoxFuture<'a, Result<Box<dyn Watch>, SubmitError>> {
        async { Err(SubmitError::Unreachable(ClientError::Timeout)) }.boxed()
    }

    fn adopt<'a>(
        &'a self,
        _: Uuid,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, EngineError>> {
        self.answer(()).map(|answer| answer.map(|()| None)).boxed()
    }

    fn queue(&self) -> BoxFuture<'_, Result<Queue, EngineError>> {
        let queue = self.queue.lock().unwrap().clone();
        self.answer(queue)
    }

    fn free(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        self.answer(())
    }

    fn cancel(&self, prompt_id: Uuid) -> BoxFuture<'_, Result<(), EngineError>> {
        if self.answers.load(Ordering::SeqCst) {
            self.cancelled.lock().unwrap().push(prompt_id);
            self.told.notify_one();
        }
        self.answer(())
    }

    fn forget(&self, _: Uuid) -> BoxFuture<'_, Result<(), EngineError>> {
        async { Ok(()) }.boxed()
    }

    fn fetch<'a>(&'a self, _: &'a FileRef) -> BoxFuture<'a, Result<Download, EngineError>> {
        async { Err(EngineError::NotFound) }.boxed()
    }
}
