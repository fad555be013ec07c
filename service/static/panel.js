// A panel of the view there and back: one button and what comes of it. Owns that an outcome is shown only beside what
// it is of; knows nothing of what the button does.

import { element, part } from "./element.js";
import { Errand } from "./errand.js";

export class Panel {
  // What the outcome that is shown or awaited is of; null where there is none.
  #of = null;

  // In the element `name`, with a button that reads `words`: it acts on the images of `slots` and on what `dials()`
  // tells, by name; `work(ask, images, dials)` gives the elements of the outcome.
  constructor(name, words, { slots, dials, work }) {
    Object.assign(this, { slots, dials, work });
    const made = (tag, each, attributes, ...children) => element(tag, { id: `${name}-${each}`, ...attributes }, ...children);
    this.of = made("p", "of", { class: "of" });
    this.go = made("button", "go", { type: "button", class: "main" }, words);
    this.out = made("div", "out", { "aria-live": "polite" });
    part(name).append(
      this.of,
      element("div", { class: "actions" }, this.go, made("button", "cancel", { type: "button", hidden: true }, "Cancel")),
      made("p", "problem", { class: "problem", role: "alert", hidden: true }),
      made("p", "words", { class: "hint", role: "status" }),
      this.out,
    );
    this.errand = new Errand(name, this.go);
    this.go.addEventListener("click", () => this.#run());
    this.look();
  }

  // Look again at what it acts on: what was found of something else goes, and what still runs is cancelled.
  look() {
    this.go.disabled = this.slots.some((slot) => !slot.file);
    this.of.replaceChildren(...this.slots.flatMap((slot) => named(slot)));
    if (this.#of === null || this.#of === this.#now) return;
    this.#of = null;
    this.errand.stop();
    this.out.replaceChildren();
  }

  get #now() {
    return JSON.stringify([this.slots.map((slot) => slot.address), this.dials()]);
  }

  async #run() {
    this.#of = this.#now;
    this.out.replaceChildren();
    const [images, dials] = [this.slots.map(({ file, address }) => ({ file, address })), this.dials()];
    const found = await this.errand.run("At work …", (ask) => this.work(ask, images, dials));
    if (found) this.out.replaceChildren(...found);
  }
}

// Which image a slot holds, in small.
function named({ name, file, address }) {
  const words = file ? `${name}: ${file.name}` : `${name}: not there yet`;
  return [element("span", {}, file ? element("img", { src: address, alt: "" }) : null, words)];
}
