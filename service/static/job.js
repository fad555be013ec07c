// One job from its request to its result. Owns the queueing, the following and the waiting; knows nothing of pictures.

import { ask, Problem } from "./api.js";

const PAUSE_S = 1;
// An event stream is never as long without a byte, for the service sends one every 15 seconds.
const SILENCE_S = 40;

// A key of one's own: `crypto.randomUUID` is for secure pages alone, and this one may be served without TLS.
function idempotencyKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", end);
      resolve();
    }, seconds * 1000);
    signal.addEventListener("abort", end, { once: true });
  });
}

// Do `work` until it is no longer refused for a reason that passes; `tell` hears of each pause.
async function patiently(work, signal, tell) {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Problem) || !error.passes) throw error;
      const seconds = error.retryAfterS ?? PAUSE_S;
      tell("refused", { problem: error, seconds });
      await pause(seconds, signal);
    }
  }
}

// The jobs that are followed now, by the key of who asked: one job can be asked for more than once.
const live = new Map();

// Nobody hears of what a page that is left has asked for.
addEventListener("pagehide", () => live.forEach((jobId, key) => cancel(jobId, key, { keepalive: true })));

// Want a job no longer. Who asked for it counts by the key of the asking, and it ends with the last of them.
function cancel(jobId, key, options = {}) {
  live.delete(key);
  ask(`/jobs/${jobId}`, { method: "DELETE", headers: { "Idempotency-Key": key }, ...options }).catch(() => {});
}

// The same body without a file on a disk: one that changes there could be sent no more, which looks like no answer.
async function inMemory(body) {
  if (body instanceof Blob) return body.arrayBuffer();
  if (!(body instanceof FormData)) return body;
  const read = new FormData();
  for (const [name, value] of body) {
    const isFile = value instanceof File;
    read.append(name, isFile ? new File([await value.arrayBuffer()], value.name, { type: value.type }) : value);
  }
  return read;
}

// The answer to a POST. It is never hung up on, for the job that it makes can be cancelled by its id alone: once the
// signal aborts, this raises AbortError at once, and what is accepted afterwards is cancelled.
function posted(path, options, signal) {
  const key = options.headers["Idempotency-Key"];
  const answered = ask(path, { method: "POST", ...options });
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      reject(signal.reason);
      answered.then((answer) => answer.status === 202 && cancel(jobOf(answer), key)).catch(() => {});
    };
    signal.addEventListener("abort", giveUp, { once: true });
    answered.finally(() => signal.removeEventListener("abort", giveUp)).then(resolve, reject);
  });
}

function jobOf(answer) {
  return answer.headers.get("X-Job-Id");
}

// Run a request to its end; its result as an answer of the type `accept`. `tell` hears the job's events, `accepted`
// before them and `refused` at every pause. An abort of the signal cancels the job, too, and raises AbortError; a file
// that cannot be read raises NotReadableError.
export async function run({ path, query, body, headers = {}, accept = "application/json", signal, tell = () => {} }) {
  const key = idempotencyKey();
  const wish = { Prefer: "respond-async, previews", "Idempotency-Key": key, Accept: accept, ...headers };
  const sent = { query, body: await inMemory(body), headers: wish };
  const answer = await patiently(() => posted(path, sent, signal), signal, tell);
  const jobId = jobOf(answer);
  tell("accepted", { jobId });
  if (answer.status !== 202) {
    // The same was asked before: its pictures on the way may still be told.
    await follow(jobId, signal, tell, {}).catch(() => {});
    signal.throwIfAborted();
    return answer;
  }
  live.set(key, jobId);
  const place = {};
  try {
    await patiently(() => follow(jobId, signal, tell, place), signal, tell);
    return await patiently(() => ask(`/jobs/${jobId}/result`, { headers: { Accept: accept }, signal }), signal, tell);
  } catch (error) {
    // Whatever went wrong, nobody here hears of it any more.
    if (!place.ended) cancel(jobId, key);
    throw error;
  } finally {
    live.delete(key);
  }
}

// Hear a job's events to the last; a stream that broke off is taken up from `place` on, which knows when the job ended.
async function follow(jobId, signal, tell, place) {
  const headers = place.id ? { "Last-Event-ID": place.id } : {};
  const answer = await ask(`/jobs/${jobId}/events`, { headers, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await read(reader);
    if (done) throw new Problem(0, { title: "Interrupted", detail: "The service went away for a moment." }, PAUSE_S);
    const parts = (rest + value.replaceAll("\r\n", "\n")).split("\n\n");
    rest = parts.pop();
    for (const event of parts.map(parsed).filter((each) => each.event)) {
      place.id = event.id ?? place.id;
      tell(event.event, event.data);
      place.ended = event.event === "done";
      if (place.ended) return;
    }
  }
}

// A connection that breaks in the middle, or falls silent, ends the stream; what was asked for goes on.
async function read(reader) {
  let timer;
  const silence = new Promise((resolve) => {
    timer = setTimeout(() => resolve({ done: true }), SILENCE_S * 1000);
  });
  try {
    const heard = await Promise.race([reader.read(), silence]);
    if (heard.done) reader.cancel().catch(() => {});
    return heard;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { done: true };
  } finally {
    clearTimeout(timer);
  }
}

function parsed(block) {
  const event = {};
  for (const line of block.split("\n")) {
    const [, name, value] = /^(event|data|id): ?(.*)$/.exec(line) ?? [];
    if (name) event[name] = name === "data" ? JSON.parse(value) : value;
  }
  return event;
}
