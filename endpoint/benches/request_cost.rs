//! What a request costs before anything is sent: decode, validate, and write the prompt.
//!
//! `cargo bench -p comfyport-endpoint` compares it with the usual way, cloning the graph as a `serde_json::Value`, setting
//! members and serialising it, for workflows of 30 and of 200 nodes. It prints times, their ratio and allocations.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::{alloc::System, hint::black_box, time::Instant};

use comfyport_endpoint::{
    Advanced, DecodeLimits, Endpoint, Field, Held::Static, Kind, Piece, Request, Seed, Template,
};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static ADVANCED: &[Field] = &[Field::new("denoise", Kind::Float { min: 0.0, max: 1.0 }, Some("1.0"), &[])];

#[derive(Request, Debug, Clone, Default)]
struct Paint {
    #[input(at = "0.text")]
    prompt: String,
    #[input(at = "1.text", default = "blurry")]
    negative_prompt: Option<String>,
    #[input(at = "2.width", min = 16, max = 16384, default = 512)]
    width: Option<i64>,
    #[input(at = "3.height", min = 16, max = 16384, default = 512)]
    height: Option<i64>,
    #[input(at = "4.seed")]
    seed: Option<Seed>,
    #[input(at = "5.steps", min = 1, max = 10000, default = 20)]
    steps: Option<i64>,
    #[input(at = "6.cfg", min = 0, max = 100, default = 8.0)]
    cfg: Option<f64>,
    #[input(table = ADVANCED)]
    advanced: Advanced,
}

const INPUTS: [&str; 7] = ["text", "text", "width", "height", "seed", "steps", "cfg"];
const BODY: &str = r#"{"prompt":"a lighthouse on a basalt cliff, evening light","negative_prompt":"text, watermark",
    "width":768,"height":512,"seed":18446744073709551614,"steps":24,"cfg":7.5,"advanced":{"denoise":0.8}}"#;

/// A graph like those of real workflows: each node has some settings and two links.
fn graph(nodes: usize) -> Value {
    let node = |id: usize| {
        let mut inputs = json!({
            "model": [id.saturating_sub(1).to_string(), 0], "clip": [id.saturating_sub(2).to_string(), 1],
            "strength": 0.75, "mode": "default", "enabled": true, "label": "a setting that stays as it is",
        });
        if let Some(name) = INPUTS.get(id) {
            inputs[*name] = json!(0);
        }
        json!({"inputs": inputs, "class_type": "SomeNode", "_meta": {"title": "Some Node"}})
    };
    Value::Object((0..nodes).map(|id| (id.to_string(), node(id))).collect())
}

/// Cuts the graph as the generator does: constant text, and a hole where a field goes.
fn endpoint(graph: &Value) -> &'static Endpoint {
    let mut marked = graph.clone();
    for (id, name) in INPUTS.iter().enumerate() {
        marked[id.to_string()]["inputs"][*name] = json!(format!("@{id}@"));
    }
    let text: &'static str = Box::leak(marked.to_string().into_boxed_str());
    let mut holes: Vec<(usize, usize)> =
        (0..INPUTS.len()).map(|id| (text.find(&format!("\"@{id}@\"")).unwrap(), id)).collect();
    holes.sort_unstable();
    let (mut pieces, mut at) = (Vec::new(), 0);
    for (start, id) in holes {
        pieces.push(Piece::Text(Static(&text[at..start])));
        pieces.push(Piece::Field(u16::try_from(id).unwrap()));
        at = start + format!("\"@{id}@\"").len();
    }
    pieces.push(Piece::Text(Static(&text[at..])));
    Box::leak(Box::new(Endpoint {
        path: Static("paint"),
        version: None,
        deprecated: None,
        title: Static("Paint"),
        description: Static(""),
        fields: Static(Paint::FIELDS),
        advanced: Static(ADVANCED),
        outputs: Static(&[]),
        models: Static(&[]),
        node_packs: Static(&[]),
        nodes: Static(&[]),
        switches: Static(&[]),
        rules: Static(&[]),
        template: Template { pieces: Static(pieces.leak()) },
        openapi: Static("{}"),
        new_request: |_| Box::new(Paint::default()),
    }))
}

fn typed(endpoint: &'static Endpoint) -> Vec<u8> {
    let mut decoded = endpoint.decode_json(BODY.as_bytes(), &DecodeLimits::default()).unwrap();
    decoded.draw_seeds(&mut || 1);
    let mut out = Vec::with_capacity(16 << 10);
    decoded.write_prompt("runs/1", &mut out);
    out
}

/// The usual way, without any validation.
fn usual(graph: &Value) -> Vec<u8> {
    let body: Value = serde_json::from_str(BODY).unwrap();
    let mut graph = graph.clone();
    let names = ["prompt", "negative_prompt", "width", "height", "seed", "steps", "cfg"];
    for (id, (input, name)) in INPUTS.iter().zip(names).enumerate() {
        *graph.pointer_mut(&format!("/{id}/inputs/{input}")).unwrap() = body[name].clone();
    }
    serde_json::to_vec(&graph).unwrap()
}

/// Median nanoseconds of a call, and allocations of one.
fn measure(mut call: impl FnMut() -> Vec<u8>) -> (f64, usize) {
    let region = Region::new(ALLOCATOR);
    black_box(call());
    let allocations = region.change().allocations;
    let mut times: Vec<f64> = (0..60)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..200 {
                black_box(call());
            }
            start.elapsed().as_nanos() as f64 / 200.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], allocations)
}

fn main() {
    for nodes in [30, 200] {
        let graph = graph(nodes);
        let endpoint = endpoint(&graph);
        let parse = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).unwrap();
        assert_eq!(parse(typed(endpoint)), parse(usual(&graph)), "both ways make the same prompt");
        let (typed_ns, typed_allocations) = measure(|| typed(endpoint));
        let (usual_ns, usual_allocations) = measure(|| usual(&graph));
        println!(
            "{nodes:>3} nodes: decode, validate, write {:>7.1} µs, {typed_allocations:>5} allocations | \
             clone, set, serialise {:>7.1} µs, {usual_allocations:>5} allocations | {:.1} times faster",
            typed_ns / 1e3,
            usual_ns / 1e3,
            usual_ns / typed_ns
        );
    }
}
