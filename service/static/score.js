// The view that scores images. Owns its form, what comes in, and which of the results is looked at closely.

import { Problem } from "./api.js";
import { ClassPicker, EVERY_CLASS, NO_CLASS } from "./class_picker.js";
import { announce, part } from "./element.js";
import { Errand } from "./errand.js";
import { imageFiles, isImage, takeDrops } from "./image_slot.js";
import { ModelPicker, notServed } from "./model_picker.js";
import { originOf } from "./origin.js";
import { fileOf } from "./picture.js";
import { scoreDetail } from "./score_detail.js";
import { scoreTable } from "./score_table.js";
import { showView } from "./views.js";
import { heed } from "./wishes.js";

// More classes than this take their time: they are asked for, not given.
const MOST_UNASKED = 20;

export function startScore() {
  const scorer = new Scorer();
  part("score-alpha").addEventListener("change", () => scorer.again({ keep: true }));
  part("score-again").addEventListener("click", () => scorer.again());
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
  // How strong the heat is, for every image that is looked at, and the name of that image.
  #view = { heat: 0.5, chosen: 0 };

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
    if (!there) this.errand.fail(notServed(picture, ` This is what ${this.models.value} says of it.`));
  }

  // Score other files, as far as they are images.
  score(files) {
    const images = files.filter(isImage);
    if (images.length) {
      this.#hold(images);
      this.again();
    }
    const others = files.filter((file) => !isImage(file)).map((file) => file.name);
    if (others.length) this.errand.fail({ title: "No image:", message: others.join(", ") });
  }

  // Score the images at hand as the form now asks; what was found before goes, unless it is to stay meanwhile.
  async again({ keep = false } = {}) {
    if (!keep) clear();
    this.errand.stop();
    part("score-again").hidden = true;
    const { length } = this.#files;
    if (!length) return;
    const facts = this.models.facts;
    const words = `Scoring ${length === 1 ? "the image" : `${length} images`} …`;
    const results = await this.errand.run(words, (ask) => this.#ask(ask));
    if (results) return show(results, facts, this.#view);
    if (!this.errand.busy) {
      clear();
      part("score-again").hidden = false;
    }
    return undefined;
  }

  #hold(files) {
    for (const address of this.#addresses) URL.revokeObjectURL(address);
    this.#files = files;
    this.#view.chosen = 0;
    this.#addresses = files.map((file) => URL.createObjectURL(file));
  }

  async #ask(ask) {
    const [files, addresses, body] = [this.#files, this.#addresses, new FormData()];
    for (const file of files) body.append("image", file);
    const [model, alpha] = [this.models.value, part("score-alpha").value];
    const query = { model, class: this.classes.value, alpha, patches: true };
    const origins = await Promise.all(files.map(originOf));
    const { results } = await ask({ path: "/score", query, body }).catch((error) => {
      throw named(error, files);
    });
    return results.map((result, index) => ({ ...result, ...origins[index], index, file: files[index], address: addresses[index] }));
  }
}

// The same error of the files by their names, not by their places.
function named(error, files) {
  if (error instanceof Problem) error.message = error.message.replaceAll(/\bimage\[(\d+)\]/g, (place, index) => files[index]?.name ?? place);
  return error;
}

function clear() {
  for (const id of ["score-table", "score-detail"]) part(id).replaceChildren();
}

function show(results, facts, view) {
  announce(results.length === 1 ? "The score is there" : `${results.length} scores are there`);
  const look = (result) => {
    view.chosen = result.index;
    part("score-detail").replaceChildren(scoreDetail(result, facts, view));
  };
  const goTo = (result) => {
    look(result);
    part("score-detail").querySelector("h3").focus();
  };
  const chosen = results[view.chosen] ?? results[0];
  part("score-table").replaceChildren(...(results.length > 1 ? [scoreTable(results, goTo, chosen)] : []));
  look(chosen);
  part("score-detail").scrollIntoView({ block: "nearest" });
}
