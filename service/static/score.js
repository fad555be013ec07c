// The view that scores images. Owns its form, what comes in, and which of the results is looked at closely.

import { catalogue } from "./catalogue.js";
import { ClassPicker } from "./class_picker.js";
import { announce } from "./element.js";
import { imageFiles } from "./image_slot.js";
import { run } from "./job.js";
import { modelPicker } from "./model_picker.js";
import { clearProblem, showProblem } from "./notice.js";
import { fileOf } from "./picture.js";
import { scoreDetail } from "./score_detail.js";
import { scoreTable } from "./score_table.js";
import { showView } from "./views.js";
import { heed } from "./wishes.js";

const EVERY = [["", "No class"], ["all", "Every class"]];
// More classes than this take their time: they are asked for, not given.
const MOST_UNASKED = 20;
const part = (id) => document.getElementById(id);

export function startScore() {
  const scorer = new Scorer();
  modelPicker(part("score-model"), (facts) => scorer.describe(facts));
  part("score-alpha").addEventListener("change", () => scorer.again());
  part("score-files").addEventListener("change", () => scorer.score([...part("score-files").files]));
  takeDrops(part("score-drop"), (dropped) => scorer.score(dropped));
  document.addEventListener("paste", (event) => {
    if (!part("score").hidden) scorer.score(imageFiles(event.clipboardData));
  });
  heed("score", (picture) => {
    showView("score");
    part("score-model").value = picture.model;
    scorer.score([fileOf(picture)]);
  });
}

class Scorer {
  #files = [];
  #running = null;

  constructor() {
    this.classes = new ClassPicker(part("score-class"), {
      label: "Under which class",
      extra: EVERY,
      changed: () => this.again(),
    });
  }

  describe(facts) {
    this.classes.setFacts(facts, facts && facts.num_classes <= MOST_UNASKED ? "all" : "");
  }

  // Score the same images, asked otherwise.
  again() {
    this.score(this.#files);
  }

  async score(files) {
    if (!files.length) return;
    this.#files = files;
    this.#running?.abort();
    const own = (this.#running = new AbortController());
    clearProblem(part("score-problem"));
    part("score-words").textContent = `Scoring ${files.length === 1 ? "the image" : `${files.length} images`} …`;
    try {
      show(await this.#ask(own.signal), catalogue.facts(part("score-model").value));
    } catch (error) {
      if (own.signal.aborted) return;
      part("score-words").textContent = "";
      showProblem(part("score-problem"), error);
    }
  }

  async #ask(signal) {
    const [files, body] = [this.#files, new FormData()];
    for (const file of files) body.append("image", file);
    const [model, alpha] = [part("score-model").value, part("score-alpha").value];
    const query = { model, class: this.classes.value, alpha, patches: true };
    const tell = (event, { problem, seconds } = {}) => {
      if (event === "refused") part("score-words").textContent = `${problem.title}. Trying again in ${seconds} s.`;
    };
    const answer = await (await run({ path: "/score", query, body, signal, tell })).json();
    return answer.results.map((result, index) => ({ ...result, file: files[index], address: addressOf(files[index]) }));
  }
}

function show(results, facts) {
  part("score-words").textContent = "";
  announce(results.length === 1 ? "The score is there" : `${results.length} scores are there`);
  const look = (result) => part("score-detail").replaceChildren(scoreDetail(result, facts));
  part("score-table").replaceChildren(...(results.length > 1 ? [scoreTable(results, look)] : []));
  look(results[0]);
}

const addresses = new WeakMap();

// An address of a file for `img`, the same each time.
function addressOf(file) {
  if (!addresses.has(file)) addresses.set(file, URL.createObjectURL(file));
  return addresses.get(file);
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
