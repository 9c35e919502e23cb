//! What the routes and the worker share.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use comfyport_workflow::{
    catalog::{Catalog, InputDef, InputKind, NodeDef, Upload},
    json::{Object, Value},
};

use crate::{
    faults::Faults,
    hub::{Hub, To},
    ledger::Ledger,
    options::{ModelFiles, Models, Options},
    python,
    queue::Queue,
    store::{Folder, Store},
};

/// What prompts can be made of.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub catalog: Catalog,
    pub models: Models,
}

/// One simulated ComfyUI.
#[derive(Debug)]
pub(crate) struct Engine {
    pub options: Options,
    installed: RwLock<Arc<Installed>>,
    pub hub: Hub,
    pub store: Store,
    pub faults: Faults,
    pub ledger: Ledger,
    queue: Mutex<Queue>,
    /// Wakes the worker.
    wake: Condvar,
    /// Asks the running prompt to stop.
    pub interrupt: AtomicBool,
    /// Asks the worker to drop what it keeps of the last prompt.
    pub free_memory: AtomicBool,
    stopping: AtomicBool,
    /// Counts simulated restarts.
    generation: AtomicU64,
    /// Client and node of the running prompt, for sockets that come back.
    pub at_work: Mutex<Option<(String, String)>>,
}

impl Engine {
    pub(crate) fn new(options: Options) -> Result<Self, std::io::Error> {
        let mut catalog = Catalog::core().clone();
        if let Some(more) = &options.catalog {
            catalog.extend(more.clone());
        }
        // ComfyUI ships this one as a custom node, so the core snapshot may lack it.
        let mut websocket = crate::options::open_class("SaveImageWebsocket", true);
        websocket.outputs.clear();
        let bundled = catalog.get("SaveImageWebsocket").is_none().then_some(&websocket);
        catalog.extend(catalog_of(options.extra_classes.iter().chain(bundled)));
        let installed = Installed { catalog, models: options.models.clone() };
        let ledger = options.ledger.as_deref().map(Ledger::open).transpose()?.unwrap_or_default();
        Ok(Self {
            options,
            installed: RwLock::new(Arc::new(installed)),
            hub: Hub::default(),
            store: Store::default(),
            faults: Faults::default(),
            ledger,
            queue: Mutex::default(),
            wake: Condvar::new(),
            interrupt: AtomicBool::new(false),
            free_memory: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            at_work: Mutex::default(),
        })
    }

    /// What there is at this moment.
    pub(crate) fn installed(&self) -> Arc<Installed> {
        Arc::clone(&self.installed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds classes that are not there yet, and model files.
    pub(crate) fn install(&self, classes: &[NodeDef], files: ModelFiles) {
        let mut guard = self.installed.write().unwrap_or_else(PoisonError::into_inner);
        let installed = Arc::make_mut(&mut guard);
        let new: Vec<&NodeDef> =
            classes.iter().filter(|class| installed.catalog.get(&class.class_type).is_none()).collect();
        installed.catalog.extend(catalog_of(new.into_iter()));
        let (Models::Any(present) | Models::Exact(present)) = &mut installed.models else { return };
        for (folder, files) in files {
            let present = present.entry(folder).or_default();
            present.extend(files);
            present.sort_unstable();
            present.dedup();
        }
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody how long the queue is, as after every change of it.
    pub(crate) fn send_status(&self, remaining: usize) {
        if self.hub.reaches(To::All) && !self.faults.silences() {
            self.hub.text(status(remaining, None), To::All);
        }
    }

    /// Wakes the worker.
    pub(crate) fn wake(&self) {
        self.wake.notify_all();
    }

    /// Waits for a prompt that is due, and starts it.
    pub(crate) fn next_prompt(&self) -> Option<crate::queue::Item> {
        let mut queue = self.queue();
        while !queue.has_pending() && !self.is_stopping() {
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if self.is_stopping() { None } else { queue.start() }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Under the lock, so that the worker is either before its check or asleep.
        drop(self.queue());
        self.wake.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// What happens when a process is killed and started again: sockets close, queue and history are empty.
    pub(crate) fn restart(&self) {
        {
            let mut queue = self.queue();
            self.generation.fetch_add(1, Ordering::SeqCst);
            queue.forget();
        }
        // Neither a prompt's results nor a wish outlive the process.
        self.free_memory.store(true, Ordering::SeqCst);
        self.nothing_at_work();
        self.hub.drop_all();
    }

    /// How often the engine was restarted.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Whether what was queued in a generation will not go on.
    pub(crate) fn is_over(&self, generation: u64) -> bool {
        self.is_stopping() || self.generation() != generation
    }

    /// No node runs.
    pub(crate) fn nothing_at_work(&self) {
        *self.at_work.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// An input as `object_info` describes it, with the files there are now.
    pub(crate) fn input_config(&self, definition: &NodeDef, input: &InputDef) -> Value {
        let described = definition.to_object_info();
        let group = if input.required { "required" } else { "optional" };
        let config =
            described.get("input").and_then(|all| all.get(group)).and_then(|all| all.get(&input.name));
        self.with_files(input, config.cloned().unwrap_or(Value::Null))
    }

    /// Replaces the mark of a file listing by the files.
    pub(crate) fn with_files(&self, input: &InputDef, mut config: Value) -> Value {
        let Value::Array(parts) = &mut config else { return config };
        if let (InputKind::Combo, Some(folder)) = (&input.kind, &input.listing) {
            let files = match folder.as_str() {
                "input" => self.inputs_of(input.upload),
                folder => self.installed().models.list(folder),
            };
            if let Some(first) = parts.first_mut() {
                *first = Value::Array(files.into_iter().map(Value::from).collect());
            }
        }
        if let Some(Value::Object(settings)) = parts.get_mut(1) {
            settings.shift_remove("listing");
        } else {
            parts.push(Value::Object(Object::new()));
        }
        config
    }

    /// Files of the input folder that an input offers.
    fn inputs_of(&self, upload: Option<Upload>) -> Vec<String> {
        let kind = match upload {
            Some(Upload::Image) => "image/",
            Some(Upload::Audio) => "audio/",
            Some(Upload::Video) => "video/",
            _ => "",
        };
        let mut names = self.store.names(Folder::Input);
        names.retain(|name| crate::routes::view::content_type(name).starts_with(kind));
        names
    }
}

/// A catalog of these definitions.
fn catalog_of<'a>(definitions: impl Iterator<Item = &'a NodeDef>) -> Catalog {
    let described =
        definitions.map(|definition| (definition.class_type.clone(), definition.to_object_info()));
    let text = Value::Object(described.collect()).to_json();
    Catalog::from_object_info(text.as_bytes()).map(|(catalog, _)| catalog).unwrap_or_default()
}

/// The `status` event.
pub(crate) fn status(remaining: usize, sid: Option<&str>) -> String {
    let remaining = i128::try_from(remaining).unwrap_or(i128::MAX);
    let info =
        python::object([("exec_info", python::object([("queue_remaining", python::integer(remaining))]))]);
    let data = match sid {
        None => python::object([("status", info)]),
        Some(sid) => python::object([("status", info), ("sid", Value::from(sid))]),
    };
    event("status", data)
}

/// A text frame.
pub(crate) fn event(kind: &str, data: Value) -> String {
    python::dumps(&python::object([("type", Value::from(kind)), ("data", data)]))
}
