// One piece of work at a time for a visitor. Owns its cancelling, the words while it lasts, and what is told when it fails.

import { element, part } from "./element.js";
import { run } from "./job.js";
import { jobWords } from "./job_words.js";
import { clearProblem, showProblem } from "./notice.js";
import { Silence } from "./silence.js";

const UNREADABLE = {
  title: "A file cannot be read",
  message: "It has changed or is gone since it was chosen: choose it again.",
};

export class Errand {
  // What can end the work at hand; null while there is none.
  #running = null;

  // Of the elements whose ids begin with `name`; `home` has the focus once there is nothing to cancel. A problem is told
  // beside the fields of `form`, too.
  constructor(name, home, form = null) {
    const [words, problem, cancel] = ["words", "problem", "cancel"].map((each) => part(`${name}-${each}`));
    Object.assign(this, { home, form, words, problem, cancel });
    this.cancel.addEventListener("click", () => {
      this.stop();
      this.words.textContent = "Cancelled.";
    });
    const line = element("p", { class: "hint silence", role: "status" });
    (words.closest(".row") ?? words).after(line);
    this.silence = new Silence(line);
  }

  get busy() {
    return this.#running !== null;
  }

  // Do `work(ask, say)` instead of what is at hand, where `ask` runs a request to its JSON, and its events are heard by
  // `tell`, or said; what it comes to, or null where it failed, which is told, or was cancelled.
  async run(words, work) {
    this.stop();
    const own = (this.#running = new AbortController());
    const mine = (act) => (...given) => this.#running === own && act(...given);
    const say = mine((text) => (this.words.textContent = text));
    const heard = (event, data) => say(jobWords(event, data) ?? words);
    const ask = async ({ tell = heard, ...request }) => {
      const told = mine((event, data) => {
        this.silence.hear(event, data);
        tell(event, data);
      });
      return (await run({ ...request, signal: own.signal, tell: told })).json();
    };
    say(words);
    this.silence.begin();
    this.cancel.hidden = false;
    try {
      const found = await work(ask, say);
      own.signal.throwIfAborted();
      return found;
    } catch (error) {
      if (!own.signal.aborted) this.fail(error);
      // What else was asked for it would meet the same.
      own.abort();
      return null;
    } finally {
      if (this.#running === own) this.#rest();
    }
  }

  // Cancel what is at hand, and forget what went wrong.
  stop() {
    this.#running?.abort();
    this.#rest();
    clearProblem(this.problem, this.form);
  }

  // Tell what went wrong.
  fail(problem) {
    showProblem(this.problem, problem.name === "NotReadableError" ? UNREADABLE : problem, this.form);
  }

  #rest() {
    this.#running = null;
    this.words.textContent = "";
    this.silence.end();
    // On a phone what was made may lie above: nobody asked to leave it.
    if (document.activeElement === this.cancel) this.home.focus({ preventScroll: true });
    this.cancel.hidden = true;
  }
}
