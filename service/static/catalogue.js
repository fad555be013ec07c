// The models on offer and what is known of them. Owns the list; tells whoever listens when it changes.

import { askJson } from "./api.js";

class Catalogue extends EventTarget {
  models = [];

  // The facts of a model; null while nobody has told them.
  facts(name) {
    return this.models.find((model) => model.name === name && model.digest) ?? null;
  }

  get complete() {
    return this.models.length > 0 && this.models.every((model) => model.digest);
  }

  async load(signal) {
    const { models } = await askJson("/models", { signal });
    const changed = JSON.stringify(models.map(known)) !== JSON.stringify(this.models.map(known));
    this.models = models;
    if (changed) this.dispatchEvent(new Event("change"));
  }
}

function known({ name, digest }) {
  return [name, digest];
}

export const catalogue = new Catalogue();

// The name of a class as people say it.
export function className(facts, index) {
  if (index === null || index === undefined) return "no class";
  return facts?.class_names?.[index] ?? String(index);
}
