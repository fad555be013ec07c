// Where the service stands. Owns the asking, again and again, and the one word it comes to.

import { askJson } from "./api.js";
import { catalogue } from "./catalogue.js";

const EVERY_MS = 4000;
const SOON_MS = 1500;

class Standing extends EventTarget {
  // `asking`, `ready`, `no-worker`, `queue-away`, `locked` or `unreachable`.
  state = "asking";
  queues = [];
  #timer = null;

  start() {
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
    this.look();
  }

  async look() {
    clearTimeout(this.#timer);
    const before = this.state;
    try {
      const { queues } = await askJson("/status");
      this.queues = queues;
      this.state = queues.some((queue) => queue.workers) ? "ready" : "no-worker";
      if (this.state !== before || !catalogue.complete) await catalogue.load();
    } catch (problem) {
      this.queues = [];
      this.state = { 401: "locked", 503: "queue-away" }[problem.status] ?? "unreachable";
    }
    this.dispatchEvent(new Event(this.state === before ? "look" : "change"));
    // Nobody looks at a hidden page: it asks when it is shown again.
    if (!document.hidden) this.#timer = setTimeout(() => this.look(), this.#settled ? EVERY_MS : SOON_MS);
  }

  get #settled() {
    return this.state === "ready" && catalogue.complete;
  }
}

export const standing = new Standing();
