// From here on the client is the same for every server.

/** The path of a workflow. */
export type WorkflowPath = keyof Workflows & string;

/** What a workflow takes. */
export type RequestOf<P extends WorkflowPath> = Workflows[P]["request"];

/** The named outputs of a workflow. */
export type OutputsOf<P extends WorkflowPath> = Workflows[P]["outputs"];

/** The values a run was made with. */
export type ParamsOf<P extends WorkflowPath> = Workflows[P]["params"];

/**
 * A file: its bytes, or text that is a data URI or base64, the `reference` of an {@link Upload}, or an address that the
 * server fetches, if it does such a thing. Bytes are sent as they are, in a form. In Node 20, `openAsBlob(path)` of `node:fs` makes a `Blob` of a path.
 */
export type Media = Blob | Uint8Array | ArrayBuffer | URL | string;

/** A small file that changes a model. A request needs its name or a URL; of both, the name counts. */
export interface Lora {
  /** The file, with `/` between folders. */
  name?: string;
  /** Instead of the name: an address that ends in the name of a file of the server. Nothing is fetched. */
  url?: string;
  /** How strongly it changes the diffusion model; 1, which is the default, is as it was trained. */
  strength?: number;
  /** How strongly it changes the text encoder, where the workflow does that; as `strength` where left out. */
  strength_clip?: number;
}

/** What the server says of a file it was given. */
export interface MediaSummary {
  /** Bytes. */
  size?: number;
  url?: true;
  upload?: true;
}

/** A file that was sent beforehand. Its `reference` is a file of as many requests as one likes, until it expires. */
export interface Upload {
  id: string;
  /** What stands for it in a request. */
  reference: string;
  content_type: string;
  /** Bytes. */
  size: number;
  sha256: string;
  /** Pixels, of pictures and films. */
  width?: number;
  /** Pixels, of pictures and films. */
  height?: number;
  created_at: string;
  expires_at: string;
}

/** One output file. */
export interface Artifact {
  /** Where it is served; relative to the server. */
  url: string;
  content_type: string;
  /** Bytes. */
  size: number;
  sha256: string;
  /** A name to save it under. */
  filename: string;
  /** Pixels, of pictures and films. */
  width?: number;
  /** Pixels, of pictures and films. */
  height?: number;
  /** Seconds, of films and sounds, as their headers say. */
  duration_s?: number;
  /** Pictures in a second, of films, as their headers say. */
  fps?: number;
  /** The bytes in base64, where `inline` asked for them. */
  data?: string;
  /** Why there is no `data` although `inline` asked for it. */
  data_omitted?: string;
  /** A small picture of it, where `thumbnail` asked for one. */
  thumbnail?: Artifact;
  /** Why it is not in the form that was asked for. */
  left_as_is?: string;
}

/** A format that pictures are given out in. */
export type PictureFormat = "png" | "jpeg" | "webp" | "avif";

/** Another size for a picture. */
export interface Resize {
  /** Pixels. */
  width?: number;
  /** Pixels. */
  height?: number;
  /** At most so large if left out. */
  fit?: "inside" | "contain" | "cover" | "fill";
  position?: string;
  /** `transparent`, `white`, `black` or `#rrggbb`. */
  background?: string;
  upscale?: boolean;
}

/** The form that pictures are given out in. */
export interface Conversion {
  format?: PictureFormat;
  /** 1 to 100. */
  quality?: number;
  /** Of WebP. */
  lossless?: boolean;
  /** Of PNG: 1 quick, 9 small. */
  compression?: number;
  /** What transparent pictures are laid on in JPEG. */
  background?: string;
  resize?: Resize;
}

/** Where the time of a run went, in milliseconds. */
export interface Timing {
  queued_ms: number;
  prepare_ms: number;
  engine_ms: number;
  fetch_ms: number;
  total_ms: number;
}

/** A run that succeeded. */
export interface Run<P extends WorkflowPath = WorkflowPath> {
  id: string;
  status: "succeeded";
  workflow: P;
  outputs: OutputsOf<P>;
  /** The values it was made with, defaults and seeds included. */
  params: ParamsOf<P>;
  engine: string;
  /** Present and true where the engine makes its results up. */
  simulated?: boolean;
  timing: Timing;
}

/** Something that happened to a run. The last one has the type `result`. */
export type RunEvent<P extends WorkflowPath = WorkflowPath> =
  | { type: "queued"; id: string; engine?: string; position: number | null }
  | { type: "started"; id: string }
  | { type: "progress"; percent: number; node: string; title?: string; value?: number; max?: number }
  | { type: "preview"; node: string; content_type: string; data: Blob }
  | { type: "result"; run: Run<P> };

/** Whether a request would run. */
export interface Verdict<P extends WorkflowPath = WorkflowPath> {
  ready: boolean;
  workflow: P;
  engine?: string;
  engines: unknown[];
  params: ParamsOf<P>;
}

/** What a webhook may be told of. */
export type JobEventName =
  | "job.queued"
  | "job.running"
  | "job.progress"
  | "job.succeeded"
  | "job.failed"
  | "job.cancelled"
  | "job.expired";

/** How to run, rather than what. */
export interface RunOptions {
  /** Whether results carry their bytes in base64 beside their URL. */
  inline?: boolean;
  /** Whether events carry preview pictures. */
  previews?: boolean;
  /** Give up, and cancel the run, after so many seconds. */
  timeout_s?: number;
  /** 0 to 9; higher goes first. 5 if left out. */
  priority?: number;
  /** When the run is to have ended, such as `2030-01-31T12:00:00Z`; then it has expired. */
  deadline?: string;
  /** Tries, the first included. */
  max_attempts?: number;
  /** Words to find the job by. */
  tags?: string[];
  /** An address that is told of the end, or of the events named. */
  webhook?: string | { url: string; events?: JobEventName[] };
  /** Anything to have back with the job. */
  metadata?: Record<string, unknown>;
  /** Whether the run is cancelled when the connection breaks. */
  cancel_on_disconnect?: boolean;
  /** Whether the result of an identical request will do. */
  cache?: boolean;
  /** The form that still pictures are given out in. */
  convert?: Conversion;
  /** A small picture beside each picture. */
  thumbnail?: { width?: number; height?: number; format?: PictureFormat };
  /** Whether pictures keep what the engine wrote into them, such as the whole workflow. */
  embedded?: "strip" | "keep";
}

/** What can be said about a single call. */
export interface CallOptions extends RunOptions {
  /** Ends the call, and cancels the run. */
  signal?: AbortSignal;
}

/** One thing that is wrong with a request. */
export interface ProblemFault {
  /** A JSON pointer to the value; empty for the whole request. */
  pointer: string;
  param?: string;
  message: string;
  /** What would be accepted. */
  allowed?: unknown;
  /** The closest thing that would be accepted. */
  did_you_mean?: string;
}

/** What the server says is wrong (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  /** The HTTP status. */
  status: number;
  detail: string;
  code: ProblemCode;
  /** What the server's log has it under. */
  request_id: string;
  /** Whether the same request may succeed later. */
  retryable: boolean;
  source: "request" | "server" | "workflow" | "engine";
  /** Every fault of the request. */
  errors?: ProblemFault[];
  /** Node classes and models the engine lacks. */
  missing?: unknown;
}

/** A call that the server answered with a problem. */
export class ComfyportError extends Error {
  readonly problem: Problem;
  readonly code: ProblemCode;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;

  constructor(problem: Problem) {
    const faults = (problem.errors ?? []).map((fault) => `\n  ${fault.pointer}: ${fault.message}`);
    super(`${problem.title}: ${problem.detail}${faults.length > 1 ? faults.join("") : ""}`);
    this.name = "ComfyportError";
    this.problem = problem;
    this.code = problem.code;
    this.retryable = problem.retryable;
  }
}

/** An answer that is not one of this server, or a stream that ended too early or fell silent. */
export class UnexpectedAnswer extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UnexpectedAnswer";
  }
}

/** What can be said about all calls. */
export interface ClientSettings {
  /** Sent with every request to the server, and to no other host. */
  headers?: Record<string, string>;
  /** What to use instead of the global `fetch`. */
  fetch?: typeof fetch;
  /** Milliseconds of silence after which a run is given up; the server says something every ten seconds. Default 60000. */
  silence?: number;
}

/** A comfyport server. */
export class Comfyport {
  readonly url: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof fetch;
  readonly #silence: number;

  /** @param url - its address, such as `http://127.0.0.1:3000` */
  constructor(url: string | URL, settings: ClientSettings = {}) {
    this.url = String(url).replace(/\/+$/, "");
    this.#headers = settings.headers ?? {};
    // Called as a method of anything but the global object, `fetch` refuses to work.
    this.#fetch = settings.fetch ?? ((input, init) => fetch(input, init));
    this.#silence = settings.silence ?? 60_000;
  }

  /**
   * Runs a workflow and waits for its end.
   *
   * It listens to the events of the run, so that a long silence breaks no connection on the way.
   */
  async run<P extends WorkflowPath>(path: P, request: RequestOf<P>, call: CallOptions = {}): Promise<Run<P>> {
    for await (const event of this.events(path, request, call)) {
      if (event.type === "result") return event.run;
    }
    throw new UnexpectedAnswer(ENDED);
  }

  /** Runs a workflow and tells what happens as it happens. Leaving the loop early cancels the run. */
  async *events<P extends WorkflowPath>(
    path: P,
    request: RequestOf<P>,
    call: CallOptions = {},
  ): AsyncGenerator<RunEvent<P>, void, undefined> {
    const response = await this.#post(path, path, request, "text/event-stream", call);
    if (response.body === null) throw new UnexpectedAnswer("the answer has no body");
    for await (const { name, data } of readEvents(response.body, this.#silence)) {
      const event = readEvent(path, name, data);
      if (event === undefined) continue;
      yield event;
      if (event.type === "result") return;
    }
    throw new UnexpectedAnswer(ENDED);
  }

  /** Asks whether a request would run. Nothing is submitted. */
  async check<P extends WorkflowPath>(
    path: P,
    request: RequestOf<P>,
    call: { signal?: AbortSignal } = {},
  ): Promise<Verdict<P>> {
    const response = await this.#post(`${path}:check`, path, request, "application/json", call);
    const verdict = parseJson(await response.text()) as Verdict<P>;
    widen(path, verdict.params);
    return verdict;
  }

  /**
   * Sends a file, of whatever size the server takes, to be used in requests by its `reference`. The same content sent
   * again is the same upload, kept anew.
   */
  async upload(file: Blob | Uint8Array | ArrayBuffer, call: { signal?: AbortSignal } = {}): Promise<Upload> {
    const response = await this.#fetch(`${this.url}/uploads`, {
      method: "POST",
      headers: { ...this.#headers, "content-type": "application/octet-stream" },
      body: file as BodyInit,
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
    return parseJson(await (await checked(response)).text()) as Upload;
  }

  /** Lets go of an upload before it expires. Runs that have it keep it. */
  async forget(upload: Upload, call: { signal?: AbortSignal } = {}): Promise<void> {
    const response = await this.#fetch(`${this.url}/uploads/${encodeURIComponent(upload.id)}`, {
      method: "DELETE",
      headers: this.#headers,
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
    await checked(response);
  }

  /** The bytes of an output file. */
  async download(artifact: Artifact, call: { signal?: AbortSignal } = {}): Promise<Blob> {
    if (artifact.data !== undefined) return fromBase64(artifact.data, artifact.content_type);
    const url = artifact.url.startsWith("/") ? this.url + artifact.url : new URL(artifact.url, this.url).href;
    const own = new URL(url).origin === new URL(this.url).origin;
    const response = await this.#fetch(url, {
      headers: own ? this.#headers : {},
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
    return (await checked(response)).blob();
  }

  async #post(
    route: string,
    path: WorkflowPath,
    request: object,
    accept: string,
    call: CallOptions,
  ): Promise<Response> {
    const { body, type } = encode(path, request, call);
    const response = await this.#fetch(`${this.url}/${route}`, {
      method: "POST",
      headers: { ...this.#headers, accept, "content-type": type },
      body,
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
    return checked(response);
  }
}

const ENDED = "the stream ended before the run did";

async function checked(response: Response): Promise<Response> {
  if (response.ok) return response;
  const text = await response.text();
  let problem: Problem | undefined;
  try {
    problem = parseJson(text) as Problem;
  } catch {
    // Something between here and the server has answered in its own words.
  }
  if (typeof problem?.code === "string") throw new ComfyportError(problem);
  throw new UnexpectedAnswer(`unexpected answer with status ${response.status}: ${text.slice(0, 200)}`);
}

/** JSON, or a form where there are files. */
function encode(path: WorkflowPath, request: object, call: CallOptions): { body: string | Blob; type: string } {
  const members = Object.entries(request as Record<string, unknown>)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]): [string, unknown] => [name, value instanceof URL ? value.href : value]);
  refuseInexact(path, request as Record<string, unknown>);
  const { signal: _, ...options } = call;
  if (Object.values(options).some((value) => value !== undefined)) members.push(["options", options]);
  if (!members.some(([, value]) => isFile(value))) {
    return { body: writeJson(Object.fromEntries(members)), type: "application/json" };
  }
  // Written by hand: a browser's own form changes line breaks within texts.
  const boundary = `comfyport-${[1, 2, 3, 4].map(() => Math.random().toString(36).slice(2)).join("")}`;
  const pieces: (string | Blob | Uint8Array | ArrayBuffer)[] = [];
  for (const [name, value] of members) {
    pieces.push(`--${boundary}\r\ncontent-disposition: form-data; name="${quoted(name)}"`);
    if (isFile(value)) {
      const filename = typeof File !== "undefined" && value instanceof File ? value.name : "file";
      const type = (value instanceof Blob && value.type) || "application/octet-stream";
      pieces.push(`; filename="${quoted(filename)}"\r\ncontent-type: ${type}\r\n\r\n`, value);
    } else {
      pieces.push("\r\n\r\n", typeof value === "string" ? value : writeJson(value));
    }
    pieces.push("\r\n");
  }
  pieces.push(`--${boundary}--\r\n`);
  return { body: new Blob(pieces as BlobPart[]), type: `multipart/form-data; boundary=${boundary}` };
}

function quoted(name: string): string {
  return name.replace(/["\r\n]/g, encodeURIComponent);
}

function isFile(value: unknown): value is Blob | Uint8Array | ArrayBuffer {
  return value instanceof Blob || value instanceof Uint8Array || value instanceof ArrayBuffer;
}

function fromBase64(text: string, type: string): Blob {
  return new Blob([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], { type });
}

/** The values that may exceed what a `number` holds, each with the object it is in. */
function* wideValues(path: WorkflowPath, values: Record<string, unknown>): Generator<[Record<string, unknown>, string]> {
  for (const name of WIDE[path] ?? []) {
    const [first, second] = name.split(".") as [string, string?];
    const object = second === undefined ? values : values[first];
    if (typeof object === "object" && object !== null) {
      yield [object as Record<string, unknown>, second ?? first];
    }
  }
}

function refuseInexact(path: WorkflowPath, request: Record<string, unknown>): void {
  for (const [object, name] of wideValues(path, request)) {
    const value = object[name];
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new RangeError(`${name}: ${value} is not exact; write it as a bigint`);
    }
  }
}

function widen(path: WorkflowPath, params: object): void {
  for (const [object, name] of wideValues(path, params as Record<string, unknown>)) {
    const value = object[name];
    if (typeof value === "number") object[name] = BigInt(value);
  }
}

/** `JSON.stringify` that knows whole numbers of any size, and refuses what JSON cannot say. */
function writeJson(value: unknown): string {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError(`${value} is not a number in JSON`);
  if (Array.isArray(value)) return `[${value.map((item) => writeJson(item ?? null)).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${writeJson(member)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/** `JSON.parse` that keeps whole numbers beyond 2^53 as `bigint`. */
function parseJson(text: string): unknown {
  const parsed: unknown = JSON.parse(text);
  // Without sixteen digits in a row no number can be that large.
  if (!/\d{16}/.test(text)) return parsed;
  const token = /\s*("[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|true|false|null|[[\]{}:,])/y;
  const next = (): string => token.exec(text)?.[1] ?? "";
  const value = (first: string): unknown => {
    if (first === "[") {
      const items: unknown[] = [];
      for (let item = next(); item !== "]"; item = next()) if (item !== ",") items.push(value(item));
      return items;
    }
    if (first === "{") {
      const members: [string, unknown][] = [];
      for (let name = next(); name !== "}"; name = next()) {
        if (name === ",") continue;
        next();
        members.push([JSON.parse(name) as string, value(next())]);
      }
      return Object.fromEntries(members);
    }
    if (/^-?\d+$/.test(first) && !Number.isSafeInteger(Number(first))) return BigInt(first);
    return JSON.parse(first);
  };
  return value(next());
}

/** What a promise yields, unless it takes too long. */
async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    const error = new UnexpectedAnswer(`the server has said nothing for ${milliseconds / 1000} seconds`);
    timer = setTimeout(() => reject(error), milliseconds);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}

async function* readEvents(
  body: ReadableStream<Uint8Array>,
  silence: number,
): AsyncGenerator<{ name: string; data: string }> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let unfinished: string[] = [];
  let name = "";
  let data: string[] = [];
  try {
    for (;;) {
      const { value, done } = await within(silence, reader.read());
      if (done) return;
      const pieces = decoder.decode(value, { stream: true }).split("\n");
      for (const [index, piece] of pieces.entries()) {
        unfinished.push(piece);
        if (index === pieces.length - 1) break;
        const line = unfinished.join("").replace(/\r$/, "");
        unfinished = [];
        if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
        else if (line === "") {
          if (data.length > 0) yield { name, data: data.join("\n") };
          name = "";
          data = [];
        }
      }
    }
  } finally {
    // The connection is of no more use, and closing it is what cancels a run.
    await reader.cancel().catch(() => undefined);
  }
}

/** A later server may tell more than this client knows of: that is `undefined`. */
function readEvent<P extends WorkflowPath>(path: P, name: string, text: string): RunEvent<P> | undefined {
  const data = parseJson(text) as Record<string, unknown>;
  switch (name) {
    case "queued":
    case "started":
    case "progress":
      return { type: name, ...data } as RunEvent<P>;
    case "preview": {
      const preview = data as { node: string; content_type: string; data: string };
      return { type: "preview", ...preview, data: fromBase64(preview.data, preview.content_type) };
    }
    case "result": {
      const run = data as unknown as Run<P>;
      widen(path, run.params);
      return { type: "result", run };
    }
    case "problem":
      throw new ComfyportError(data as unknown as Problem);
    default:
      return undefined;
  }
}
