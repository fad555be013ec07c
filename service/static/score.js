// The view that scores images. Owns its form, what comes in, and which of the results is looked at closely.

import { ClassPicker, EVERY_CLASS, NO_CLASS } from "./class_picker.js";
import { announce } from "./element.js";
import { Errand } from "./errand.js";
import { imageFiles } from "./image_slot.js";
import { ModelPicker, notServed } from "./model_picker.js";
import { showProblem } from "./notice.js";
import { fileOf } from "./picture.js";
import { scoreDetail } from "./score_detail.js";
import { scoreTable } from "./score_table.js";
import { showView } from "./views.js";
import { heed } from "./wishes.js";

// More classes than this take their time: they are asked for, not given.
const MOST_UNASKED = 20;
const part = (id) => document.getElementById(id);

export function startScore() {
  const scorer = new Scorer();
  part("score-alpha").addEventListener("change", () => scorer.again());
  part("score-files").addEventListener("change", () => {
    const files = [...part("score-files").files];
    // The same files can be chosen again.
    part("score-files").value = "";
    scorer.score(files);
  });
  takeDrops(part("score-drop"), (dropped) => scorer.score(dropped));
  document.addEventListener("paste", (event) => {
    if (!part("score").hidden) scorer.score(imageFiles(event.clipboardData));
  });
  heed("score", (picture) => {
    showView("score");
    scorer.take(picture);
  });
}

class Scorer {
  #files = [];
  #addresses = [];

  constructor() {
    this.errand = new Errand("score", part("score-files"));
    this.classes = new ClassPicker(part("score-class"), {
      label: "Under which class",
      extra: [NO_CLASS, EVERY_CLASS],
      changed: () => this.again(),
    });
    this.models = new ModelPicker(part("score-model"), (facts) => {
      this.classes.first = facts && facts.num_classes <= MOST_UNASKED ? EVERY_CLASS.value : NO_CLASS.value;
      this.classes.setFacts(facts);
      this.again();
    });
  }

  // Score a picture of this service under its own model and, where not all its classes are asked, its own class.
  take(picture) {
    this.#hold([]);
    const there = this.models.choose(picture.model);
    if (there && this.classes.first !== EVERY_CLASS.value) this.classes.choose(picture.class);
    this.score([fileOf(picture)]);
    if (!there) showProblem(this.errand.problem, notServed(picture, ` This is what ${this.models.value} says of it.`));
  }

  // Score other images.
  score(files) {
    if (!files.length) return;
    this.#hold(files);
    this.again();
  }

  // Score the images at hand as the form now asks; what was found before goes.
  async again() {
    for (const id of ["score-table", "score-detail"]) part(id).replaceChildren();
    this.errand.stop();
    const { length } = this.#files;
    if (!length) return;
    const facts = this.models.facts;
    const words = `Scoring ${length === 1 ? "the image" : `${length} images`} …`;
    const results = await this.errand.run(words, (ask) => this.#ask(ask));
    if (results) show(results, facts);
  }

  #hold(files) {
    for (const address of this.#addresses) URL.revokeObjectURL(address);
    this.#files = files;
    this.#addresses = files.map((file) => URL.createObjectURL(file));
  }

  async #ask(ask) {
    const [files, addresses, body] = [this.#files, this.#addresses, new FormData()];
    for (const file of files) body.append("image", file);
    const [model, alpha] = [this.models.value, part("score-alpha").value];
    const query = { model, class: this.classes.value, alpha, patches: true };
    const { results } = await ask({ path: "/score", query, body });
    return results.map((result, index) => ({ ...result, file: files[index], address: addresses[index] }));
  }
}

function show(results, facts) {
  announce(results.length === 1 ? "The score is there" : `${results.length} scores are there`);
  const look = (result) => part("score-detail").replaceChildren(scoreDetail(result, facts));
  part("score-table").replaceChildren(...(results.length > 1 ? [scoreTable(results, look)] : []));
  look(results[0]);
}

function takeDrops(place, take) {
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    take(imageFiles(event.dataTransfer));
  });
}
