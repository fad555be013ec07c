// The choice of a model. Owns its list of options, as the catalogue has them.

import { catalogue } from "./catalogue.js";
import { element } from "./element.js";

// A `select` of the models on offer; `changed` is called with the facts of the chosen one, or null, when another is
// chosen or more is known of it.
export class ModelPicker {
  #told;

  constructor(select, changed) {
    Object.assign(this, { select, changed, use: element("p", { class: "hint" }) });
    select.after(this.use);
    catalogue.addEventListener("change", () => this.#refill());
    select.addEventListener("change", () => this.#tell());
    this.#refill();
  }

  get value() {
    return this.select.value;
  }

  get facts() {
    return catalogue.facts(this.value);
  }

  // Choose the model of this name; whether it is on offer.
  choose(name) {
    const there = catalogue.models.some((model) => model.name === name);
    if (there) this.select.value = name;
    this.#tell();
    return there;
  }

  #refill() {
    const chosen = this.value;
    const names = catalogue.models.map((model) => model.name);
    this.select.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    if (names.includes(chosen)) this.select.value = chosen;
    this.#tell();
  }

  #tell() {
    const told = `${this.value} ${this.facts?.digest}`;
    if (told === this.#told) return;
    this.#told = told;
    this.use.textContent = (this.facts?.intended_use ?? "").replaceAll(/(\d) x (\d)/g, "$1 × $2");
    this.changed(this.facts);
  }
}

// What is told where the model of a picture is not on offer.
export function notServed(picture, instead = "") {
  return { title: "Another model", message: `${picture.model}, which made this picture, is not served now.${instead}` };
}
