// Where the service stands. Owns the asking, again and again, the one word it comes to, and how old that is.

import { askJson } from "./api.js";
import { catalogue } from "./catalogue.js";

const EVERY_MS = 4000;
const SOON_MS = 1500;
// An answer that takes longer than this is late, and after so much none is awaited.
const LATE_MS = 3000;
const LIMIT_MS = 20_000;

class Standing extends EventTarget {
  // `asking`, `ready`, `partly`, `late`, `no-worker`, `queue-away`, `locked` or `unreachable`.
  state = "asking";
  // As they were when they were last told.
  queues = [];
  #timer = null;
  // What ends the look that is under way: a newer one knows better.
  #looking = new AbortController();

  start() {
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
    this.look();
  }

  async look() {
    clearTimeout(this.#timer);
    this.#looking.abort();
    const own = (this.#looking = new AbortController());
    const before = this.state;
    const late = setTimeout(() => this.#be(this.queues.length ? "late" : this.state), LATE_MS);
    try {
      const signal = AbortSignal.any([own.signal, AbortSignal.timeout(LIMIT_MS)]);
      const { queues } = await askJson("/status", { signal });
      clearTimeout(late);
      this.queues = queues;
      const manned = queues.filter((queue) => queue.workers).length;
      const state = manned === queues.length ? "ready" : manned ? "partly" : "no-worker";
      if (state !== before || !catalogue.complete) await catalogue.load(signal);
      this.#be(state);
    } catch (problem) {
      clearTimeout(late);
      if (own.signal.aborted) return;
      this.queues = [];
      this.#be({ 401: "locked", 503: "queue-away" }[problem.status] ?? "unreachable");
    }
    // Nobody looks at a hidden page: it asks when it is shown again.
    if (!document.hidden) this.#timer = setTimeout(() => this.look(), this.#settled ? EVERY_MS : SOON_MS);
  }

  // The queues that nobody works for.
  get unmanned() {
    return this.queues.filter((queue) => !queue.workers);
  }

  #be(state) {
    const same = this.state === state;
    this.state = state;
    this.dispatchEvent(new Event(same ? "look" : "change"));
  }

  get #settled() {
    return ["ready", "partly"].includes(this.state) && catalogue.complete;
  }
}

export const standing = new Standing();
