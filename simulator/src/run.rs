//! One prompt from its first node to its last.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use comfyport_workflow::json::{Object, Value};

use crate::{
    events::Events,
    faults::Fault,
    media::{jpeg, png},
    nodes::{self, Call, Exception, data::Data},
    order::{Order, inputs, link},
    python,
    queue::Item,
    shared::{Engine, Installed},
    worker::{Cache, Made},
};

/// How a prompt ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    Error,
    Interrupted,
    /// As if the process had been killed.
    Forgotten,
}

/// Why a node did not finish.
enum Stop {
    Interrupted,
    Forgotten,
    Raised(Exception),
}

/// One prompt at work.
pub(crate) struct Run<'a> {
    engine: &'a Engine,
    installed: &'a Installed,
    item: &'a Item,
    events: Events<'a>,
    fault: Option<Fault>,
    /// How often the faults had been cleared when this one was due.
    cleared: u64,
    signatures: &'a BTreeMap<String, u64>,
    cache: &'a mut Cache,
    /// Nodes that ran, in order.
    executed: Vec<String>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        installed: &'a Installed,
        item: &'a Item,
        events: Events<'a>,
        (fault, cleared): (Option<Fault>, u64),
        signatures: &'a BTreeMap<String, u64>,
        cache: &'a mut Cache,
    ) -> Self {
        Self { engine, installed, item, events, fault, cleared, signatures, cache, executed: Vec::new() }
    }

    pub(crate) fn execute(&mut self) -> Ending {
        let started = self.events.data([]);
        self.events.message("execution_start", started, false);
        let prompt = &self.item.prompt;
        let cached: BTreeSet<String> =
            prompt.keys().filter(|id| self.cache.contains_key(&self.signatures[*id])).cloned().collect();
        let listed = prompt.keys().filter(|id| cached.contains(*id)).map(String::as_str);
        self.events.cached(python::texts(listed));
        let mut order = Order::new(prompt, &self.item.outputs, &cached);
        let installed = self.installed;
        let is_output = |id: &str| {
            let class = class_of(prompt, id);
            installed.catalog.get(class).is_some_and(|definition| definition.output_node)
        };
        while let Some(id) = order.next(is_output) {
            if self.is_over() {
                return Ending::Forgotten;
            }
            match self.node(id) {
                Ok(()) => order.done(id),
                Err(Stop::Forgotten) => return Ending::Forgotten,
                Err(Stop::Interrupted) => {
                    let data = self.events.data(self.place(id));
                    self.events.message("execution_interrupted", data, true);
                    return Ending::Interrupted;
                }
                Err(Stop::Raised(exception)) => {
                    self.report(id, &exception);
                    return Ending::Error;
                }
            }
        }
        let done = self.events.data([]);
        self.events.message("execution_success", done, false);
        Ending::Success
    }

    /// Where something happened.
    fn place(&self, id: &str) -> [(&'static str, Value); 3] {
        [
            ("node_id", Value::from(id)),
            ("node_type", Value::from(class_of(&self.item.prompt, id))),
            ("executed", python::texts(self.executed.iter().map(String::as_str))),
        ]
    }

    fn report(&mut self, id: &str, exception: &Exception) {
        let class = class_of(&self.item.prompt, id);
        let trace = [
            "  File \"/srv/ComfyUI/execution.py\", line 496, in execute\n    output_data, output_ui, has_subgraph, \
             has_pending_tasks = await get_output_data(prompt_id, unique_id, obj, input_data_all)\n"
                .to_owned(),
            format!("  File \"/srv/ComfyUI/nodes.py\", line 1024, in {}\n", class.to_lowercase()),
        ];
        let current: Object = inputs(&self.item.prompt, id)
            .filter(|(_, value)| link(value).is_none())
            .map(|(name, value)| (name.to_owned(), Value::Array(vec![value.clone()])))
            .collect();
        let [node, class, executed] = self.place(id);
        let mut data = self.events.data([node, class, executed]);
        if let Value::Object(members) = &mut data {
            let message = format!("{}\n{}", exception.message, exception.tips);
            members.insert("exception_message".to_owned(), Value::from(message));
            members.insert("exception_type".to_owned(), Value::from(exception.ty.as_str()));
            members.insert("traceback".to_owned(), python::texts(trace.iter().map(String::as_str)));
            members.insert("current_inputs".to_owned(), Value::Object(current));
            // All that could have results, not only those that have: so does ComfyUI.
            let nodes = self.item.prompt.keys().map(String::as_str);
            members.insert("current_outputs".to_owned(), python::texts(nodes));
        }
        self.events.message("execution_error", data, false);
    }

    fn node(&mut self, id: &str) -> Result<(), Stop> {
        let signature = self.signatures[id];
        if let Some(made) = self.cache.get(&signature) {
            let shown = made.ui.clone().unwrap_or(Value::Null);
            self.events.executed(id, shown);
            // It never began, so its state is Python's integers, not what a start sets.
            self.events.finished(id, Some(1));
            return Ok(());
        }
        self.events.executing(id);
        self.check_interrupt()?;
        let call = self.call(id, signature);
        self.fault_at(&call)?;
        let steps = nodes::steps(&call);
        if let Some(steps) = steps {
            self.sample(&call, steps)?;
        }
        let websocket = (call.class == "SaveImageWebsocket").then(|| call.pictures()).flatten();
        if let Some(pictures) = &websocket {
            for (index, picture) in pictures.iter().enumerate() {
                self.check_interrupt()?;
                let file = png::encode(picture, &[]);
                self.events.progress(id, index as u64, pictures.len() as u64, Some((&file, "image/png")));
            }
        }
        let (outputs, ui) = nodes::evaluate(&call).map_err(Stop::Raised)?;
        if self.fault == Some(Fault::MissingOutput) {
            nodes::outputs::remove_files(self.engine, ui.as_ref());
        }
        if let Some(ui) = &ui {
            self.events.executed(id, ui.clone());
        }
        self.cache.insert(signature, Arc::new(Made { outputs, ui, node: id.to_owned() }));
        let steps = steps.or_else(|| websocket.map(|pictures| pictures.len() as u64));
        self.events.finished(id, steps);
        self.executed.push(id.to_owned());
        Ok(())
    }

    /// Whether the process that runs this prompt is gone.
    fn is_over(&self) -> bool {
        self.engine.is_over(self.item.generation)
    }

    fn check_interrupt(&self) -> Result<(), Stop> {
        if self.engine.interrupt.swap(false, Ordering::SeqCst) { Err(Stop::Interrupted) } else { Ok(()) }
    }

    fn call(&self, id: &str, signature: u64) -> Call<'a> {
        let class = class_of(&self.item.prompt, id);
        let inputs = inputs(&self.item.prompt, id)
            .map(|(name, value)| {
                let data = match link(value) {
                    None => Data::Value(value.clone()),
                    Some((from, slot)) => {
                        let made = self.signatures.get(from).and_then(|signature| self.cache.get(signature));
                        let data = made.and_then(|made| made.outputs.get(slot as usize)).cloned();
                        data.unwrap_or(Data::Opaque)
                    }
                };
                (name, data)
            })
            .collect();
        Call {
            engine: self.engine,
            prompt: &self.item.prompt,
            extra_data: &self.item.extra_data,
            id: id.to_owned(),
            class,
            definition: self.installed.catalog.get(class),
            inputs,
            signature,
        }
    }

    /// What is to go wrong in the middle of a prompt goes wrong at the first node that takes time or saves something.
    fn fault_at(&mut self, call: &Call<'_>) -> Result<(), Stop> {
        let saves = call.definition.is_some_and(|definition| definition.output_node);
        if !saves && nodes::steps(call).is_none() {
            return Ok(());
        }
        match &self.fault {
            Some(Fault::Oom) => Err(Stop::Raised(Exception::out_of_memory())),
            Some(Fault::Exception) => Err(Stop::Raised(Exception::new(
                "RuntimeError",
                "[Errno 2] No such file or directory: '/srv/ComfyUI/models/checkpoints/secret.safetensors'",
            ))),
            Some(Fault::Forget) => Err(Stop::Forgotten),
            Some(Fault::DropSocket) => {
                self.engine.hub.drop_all();
                self.fault = None;
                Ok(())
            }
            Some(Fault::Stuck) => {
                self.engine.faults.wait_until_cleared(self.cleared, || self.is_over());
                self.fault = None;
                if self.is_over() { Err(Stop::Forgotten) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn sample(&mut self, call: &Call<'_>, steps: u64) -> Result<(), Stop> {
        let preview = self.engine.options.previews.then(|| nodes::preview(call)).flatten();
        let preview = preview.map(|picture| jpeg::encode(&picture));
        for step in 1..=steps {
            if !self.engine.options.step_delay.is_zero() {
                std::thread::sleep(self.engine.options.step_delay);
            }
            if self.is_over() {
                return Err(Stop::Forgotten);
            }
            self.check_interrupt()?;
            self.events.progress(&call.id, step, steps, preview.as_deref().map(|data| (data, "image/jpeg")));
        }
        Ok(())
    }

    /// The entry for the history, as JSON.
    pub(crate) fn into_entry(mut self, ending: &Ending) -> (String, Events<'a>) {
        let (mut outputs, mut meta) = (Object::new(), Object::new());
        // In the order in which the nodes showed something; those from the cache first.
        let mut ids: Vec<&String> =
            self.item.prompt.keys().filter(|id| !self.executed.contains(id)).collect();
        ids.extend(&self.executed);
        for id in ids {
            let Some(made) = self.cache.get(&self.signatures[id]) else { continue };
            let Some(ui) = &made.ui else { continue };
            outputs.insert(id.clone(), ui.clone());
            let named = python::object([
                ("node_id", Value::from(made.node.as_str())),
                ("display_node", Value::from(made.node.as_str())),
                ("parent_node", Value::Null),
                ("real_node_id", Value::from(made.node.as_str())),
            ]);
            meta.insert(id.clone(), named);
        }
        let success = *ending == Ending::Success;
        let status = python::object([
            ("status_str", Value::from(if success { "success" } else { "error" })),
            ("completed", Value::Bool(success)),
            ("messages", self.events.messages()),
        ]);
        let mut prompt = self.item.to_value();
        if let Value::Array(parts) = &mut prompt
            && let Some(Value::Object(extra)) = parts.get_mut(3)
        {
            extra.shift_remove("auth_token_comfy_org");
            extra.shift_remove("api_key_comfy_org");
        }
        let entry = python::object([
            ("prompt", prompt),
            ("outputs", Value::Object(outputs)),
            ("status", status),
            ("meta", Value::Object(meta)),
        ]);
        (python::dumps(&entry), self.events)
    }
}

fn class_of<'a>(prompt: &'a Object, id: &str) -> &'a str {
    prompt.get(id).and_then(|node| node.get("class_type")).and_then(Value::as_str).unwrap_or_default()
}
