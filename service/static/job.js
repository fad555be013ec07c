// One job from its request to its result. Owns the queueing, the following and the waiting; knows nothing of pictures.

import { ask, Problem } from "./api.js";

const PAUSE_S = 1;

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

// The jobs that are followed now.
const live = new Set();

// Nobody hears of what a page that is left has asked for.
addEventListener("pagehide", () => live.forEach((jobId) => cancel(jobId, { keepalive: true })));

function cancel(jobId, options = {}) {
  live.delete(jobId);
  ask(`/jobs/${jobId}`, { method: "DELETE", ...options }).catch(() => {});
}

// The answer to a POST. It is never hung up on, for the job that it makes can be cancelled by its id alone: once the
// signal aborts, this raises AbortError at once, and what is accepted afterwards is cancelled.
function posted(path, options, signal) {
  const answered = ask(path, { method: "POST", ...options });
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      reject(signal.reason);
      answered.then(async (answer) => answer.status === 202 && cancel((await answer.json()).job_id)).catch(() => {});
    };
    signal.addEventListener("abort", giveUp, { once: true });
    answered.finally(() => signal.removeEventListener("abort", giveUp)).then(resolve, reject);
  });
}

// Run a request to its end; its result as an answer of the type `accept`. `tell` hears the job's events, `accepted`
// before them and `refused` at every pause. An abort of the signal cancels the job, too, and raises AbortError.
export async function run({ path, query, body, headers = {}, accept = "application/json", signal, tell = () => {} }) {
  const wish = { Prefer: "respond-async, previews", "Idempotency-Key": idempotencyKey(), Accept: accept, ...headers };
  const answer = await patiently(() => posted(path, { query, body, headers: wish }, signal), signal, tell);
  if (answer.status !== 202) {
    const jobId = answer.headers.get("X-Job-Id");
    tell("accepted", { jobId });
    // The same was asked before: its pictures on the way may still be told.
    await follow(jobId, signal, tell, {}).catch(() => {});
    signal.throwIfAborted();
    return answer;
  }
  const jobId = (await answer.json()).job_id;
  live.add(jobId);
  tell("accepted", { jobId });
  try {
    const place = {};
    await patiently(() => follow(jobId, signal, tell, place), signal, tell);
    return await patiently(() => ask(`/jobs/${jobId}/result`, { headers: { Accept: accept }, signal }), signal, tell);
  } catch (error) {
    if (signal.aborted) cancel(jobId);
    throw error;
  } finally {
    live.delete(jobId);
  }
}

// Hear a job's events to the last; a stream that broke off is taken up from `place` on.
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
      if (event.event === "done") return;
    }
  }
}

// A connection that breaks in the middle ends the stream; what was asked for goes on.
async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { done: true };
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
