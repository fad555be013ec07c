// A job that runs and is not heard of. Owns the measure of its silence, and what is said of it.

const LOOK_MS = 1000;
// A silence is told once it is so long, and so many times longer than any before it.
const LEAST_MS = 6000;
const TIMES = 3;

export class Silence {
  // When the job was last heard of; null while it does not run.
  #heardMs = null;
  #longestMs = 0;
  #timer = null;

  // `line` is where it is said.
  constructor(line) {
    this.line = line;
  }

  begin() {
    this.end();
    this.#longestMs = 0;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  // An event of the job, as `run` tells it. What waits in a queue or to be asked again has no news to miss.
  hear(event, data) {
    const nowMs = Date.now();
    if (this.#heardMs !== null) this.#longestMs = Math.max(this.#longestMs, nowMs - this.#heardMs);
    const runs = event === "progress" || event === "preview" || (event === "status" && data.state === "running");
    this.#heardMs = runs ? nowMs : null;
    this.line.textContent = "";
  }

  end() {
    clearInterval(this.#timer);
    this.#heardMs = null;
    this.line.textContent = "";
  }

  #look() {
    if (this.#heardMs === null || this.line.textContent) return;
    if (Date.now() - this.#heardMs < Math.max(LEAST_MS, TIMES * this.#longestMs)) return;
    const since = new Date(this.#heardMs).toLocaleTimeString("en-GB");
    this.line.textContent = `No news since ${since}. If its worker has died, another one takes the job over.`;
  }
}
