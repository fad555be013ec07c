// One piece of work at a time for a visitor. Owns its cancelling, the words while it lasts, and what is told when it fails.

import { announce } from "./element.js";
import { run } from "./job.js";
import { jobWords } from "./job_words.js";
import { clearProblem, showProblem } from "./notice.js";

export class Errand {
  // What can end the work at hand; null while there is none.
  #running = null;

  // Of the elements whose ids begin with `name`; `home` has the focus once there is nothing to cancel.
  constructor(name, home) {
    const part = (each) => document.getElementById(`${name}-${each}`);
    Object.assign(this, { home, words: part("words"), problem: part("problem"), cancel: part("cancel") });
    this.cancel.addEventListener("click", () => {
      this.stop();
      announce("Cancelled");
    });
  }

  // Do `work(ask)` instead of what is at hand, where `ask` runs a request to its JSON; what it comes to, or null where
  // it failed, which is told, or was cancelled.
  async run(words, work) {
    this.stop();
    const own = (this.#running = new AbortController());
    const say = (text) => this.#running === own && (this.words.textContent = text);
    const tell = (event, data) => say(jobWords(event, data) ?? words);
    const ask = async (request) => (await run({ ...request, signal: own.signal, tell })).json();
    say(words);
    this.cancel.hidden = false;
    try {
      const found = await work(ask);
      own.signal.throwIfAborted();
      return found;
    } catch (error) {
      if (!own.signal.aborted) showProblem(this.problem, error);
      return null;
    } finally {
      if (this.#running === own) this.#rest();
    }
  }

  // Cancel what is at hand, and forget what went wrong.
  stop() {
    this.#running?.abort();
    this.#rest();
    clearProblem(this.problem);
  }

  #rest() {
    this.#running = null;
    this.words.textContent = "";
    if (document.activeElement === this.cancel) this.home.focus();
    this.cancel.hidden = true;
  }
}
