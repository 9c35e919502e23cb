// Calls every bundled workflow through the package that `comfyport client ts` wrote: `node calls.js URL`.

import assert from "node:assert/strict";

import {
  type CallOptions,
  Comfyport,
  ComfyportError,
  type RequestOf,
  type Run,
  type RunEvent,
  type Scheduler,
  UnexpectedAnswer,
  type WorkflowPath,
} from "comfyport-client";

const [url] = process.argv.slice(2);
assert.ok(url !== undefined, "usage: calls.js URL");

const comfyport = new Comfyport(url);
const largest = 2n ** 64n - 1n;
const called = new Set<string>();

async function run<P extends WorkflowPath>(path: P, request: RequestOf<P>, call?: CallOptions): Promise<Run<P>> {
  const run = await comfyport.run(path, request, call);
  assert.equal(run.workflow, path);
  assert.equal(run.status, "succeeded");
  assert.equal(run.simulated, true);
  called.add(path);
  return run;
}

async function problem(call: Promise<unknown>): Promise<ComfyportError> {
  const error: unknown = await call.then(
    () => assert.fail("was not refused"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof ComfyportError, String(error));
  return error;
}

// A seed that no `number` holds, in JSON, with values under `advanced`.
const scheduler: Scheduler = "karras";
const painted = await run("sd15/txt2img", {
  prompt: "line\nbreaks, \"quotes\" and ünïcode",
  seed: largest,
  steps: 4,
  advanced: { scheduler },
});
assert.equal(painted.params.prompt, "line\nbreaks, \"quotes\" and ünïcode");
assert.equal(painted.params.seed, largest);
assert.equal(painted.params.steps, 4);
assert.equal(painted.params.advanced.scheduler, "karras");

const [artifact] = painted.outputs.image;
assert.ok(artifact !== undefined);
const picture = await comfyport.download(artifact);
assert.equal(picture.size, artifact.size);
assert.equal(picture.type, artifact.content_type);

// Seeds that are drawn are as large, and small ones come back as the same type.
const drawn: bigint = (await run("flux/txt2img", { prompt: "a fox" })).params.seed;
assert.ok(drawn >= 0n && drawn <= largest);
const small = await run("qwen/qwen_base_txt2img", { prompt: "a fox", seed: 7 });
assert.equal(small.params.seed, 7n);
await assert.rejects(comfyport.run("flux/txt2img", { prompt: "a fox", seed: 2 ** 60 }), RangeError);

// Files: what was downloaded, bytes, a data URI, an address.
const edited = await run("sd15/img2img", { prompt: "line\nbreaks", image: picture, seed: largest, steps: 4 });
assert.equal(edited.params.seed, largest, "a seed in a form");
assert.equal(edited.params.prompt, "line\nbreaks", "text in a form");
assert.equal(edited.params.image.size, artifact.size);
const bytes = new Uint8Array(await picture.arrayBuffer());
await run("sd15/inpaint", { prompt: "a hat", image: bytes, mask: bytes.buffer as ArrayBuffer });
const uri = `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`;
const resized = await run("image/resize", { image: uri, width: 32, height: 16 }, { inline: true });
const [little] = resized.outputs.image;
assert.ok(little?.data !== undefined, "`inline` was asked for");
assert.deepEqual([little.width, little.height], [32, 16]);
assert.equal((await new Comfyport("http://127.0.0.1:1").download(little)).size, little.size, "without a server");
// A file that is sent once, and used twice.
const upload = await comfyport.upload(picture);
assert.deepEqual([upload.size, upload.content_type, upload.sha256], [artifact.size, "image/png", artifact.sha256]);
assert.deepEqual([upload.width, upload.height], [artifact.width, artifact.height]);
assert.equal((await comfyport.upload(bytes)).id, upload.id, "the same content");
for (const width of [16, 24]) {
  const run = await comfyport.run("image/resize", { image: upload.reference, width });
  assert.equal(run.outputs.image[0]?.width, width);
}
await comfyport.forget(upload);
assert.equal((await problem(comfyport.run("image/resize", { image: upload.reference }))).code, "invalid_request");
assert.equal((await problem(comfyport.upload(new Blob(["<svg/>"])))).code, "unsupported_media");
const fetched = await problem(comfyport.run("image/resize", { image: new URL("http://127.0.0.1:1/a.png") }));
assert.equal(fetched.problem.errors?.[0]?.param, "image");

// The rest of what is bundled.
await run("audio/ace_step", { tags: "jazz, piano", lyrics: "" });
const mesh = await run("conjure/generate_flux_mesh", {
  prompt: "a chair",
  inputimage: picture,
  advanced: { mesh_seed: largest - 1n },
});
assert.equal(mesh.params.advanced.mesh_seed, largest - 1n, "a seed under `advanced`, in a form");
await run("flux/flux_depth", { prompt: "a room", depth_map: picture });
await run("mesh/hunyuan3d", { image: picture });
await run("qwen/qwen_img_edit", { prompt: "make it blue", image: picture });
await run("sdxl/txt2img_refiner", { prompt: "a fox" });
await run("wan/txt2video", { prompt: "waves" });
const listed = (await (await fetch(`${url}/workflows`)).json()) as { workflows: { path: string }[] };
assert.deepEqual([...called].sort(), listed.workflows.map((workflow) => workflow.path).sort());

// Progress.
const events: RunEvent<"sd15/txt2img">[] = [];
for await (const event of comfyport.events("sd15/txt2img", { prompt: "a fox" }, { previews: true })) {
  events.push(event);
}
assert.deepEqual(events.slice(0, 2).map((event) => event.type), ["queued", "started"]);
const percents = events.flatMap((event) => (event.type === "progress" ? [event.percent] : []));
assert.ok(percents.length > 1, "progress is told");
assert.deepEqual(percents, [...percents].sort((one, other) => one - other), "progress does not go back");
const last = events.at(-1);
assert.ok(last?.type === "result" && last.run.outputs.image.length === 1);

// Refusals name every fault.
const refused = await problem(
  comfyport.run("sd15/txt2img", {
    prompt: "a fox",
    steps: 0,
    // @ts-expect-error: no such sampler
    advanced: { sampler_name: "eular" },
  }),
);
assert.equal(refused.code, "invalid_request");
assert.equal(refused.retryable, false);
assert.equal(refused.problem.status, 422);
assert.deepEqual(refused.problem.errors?.map((fault) => fault.pointer), ["/steps", "/advanced/sampler_name"]);
assert.equal(refused.problem.errors?.[1]?.did_you_mean, "euler");
// @ts-expect-error: the prompt is missing
assert.equal((await problem(comfyport.run("sd15/txt2img", {}))).problem.errors?.[0]?.pointer, "/prompt");
// @ts-expect-error: no such workflow
assert.equal((await problem(comfyport.run("sd15/nothing", {}))).code, "not_found");

const verdict = await comfyport.check("sd15/txt2img", { prompt: "a fox", seed: largest });
assert.equal(verdict.ready, true);
assert.equal(verdict.params.seed, largest);

// Ends that callers choose.
const late = await problem(comfyport.run("sd15/txt2img", { prompt: "a fox" }, { timeout_s: 0.001 }));
assert.deepEqual([late.code, late.retryable], ["timeout", true]);
await assert.rejects(
  comfyport.run("sd15/txt2img", { prompt: "a fox" }, { signal: AbortSignal.abort() }),
  { name: "AbortError" },
);
const silent = new Comfyport(url, {
  fetch: async () => new Response(new ReadableStream({}), { headers: { "content-type": "text/event-stream" } }),
  silence: 10,
});
await assert.rejects(silent.run("sd15/txt2img", { prompt: "a fox" }), UnexpectedAnswer);

console.log(`${called.size} workflows called from TypeScript`);
