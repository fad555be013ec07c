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
  let files = [];
  let running = null;
  const classes = new ClassPicker(part("score-class"), { label: "Under which class", extra: EVERY, changed: () => again() });

  modelPicker(part("score-model"), (facts) => {
    classes.setFacts(facts, facts && facts.num_classes <= MOST_UNASKED ? "all" : "");
  });
  part("score-alpha").addEventListener("change", () => again());
  part("score-files").addEventListener("change", () => score([...part("score-files").files]));
  takeDrops(part("score-drop"), (dropped) => score(dropped));
  document.addEventListener("paste", (event) => {
    if (!part("score").hidden) score(imageFiles(event.clipboardData));
  });
  heed("score", (picture) => {
    showView("score");
    part("score-model").value = picture.model;
    score([fileOf(picture)]);
  });

  function again() {
    if (files.length) score(files);
  }

  async function score(given) {
    if (!given.length) return;
    files = given;
    running?.abort();
    const own = (running = new AbortController());
    clearProblem(part("score-problem"));
    part("score-words").textContent = `Scoring ${files.length === 1 ? "the image" : `${files.length} images`} …`;
    try {
      const facts = catalogue.facts(part("score-model").value);
      show(await ask(facts, own.signal), facts);
    } catch (error) {
      if (running !== own || own.signal.aborted) return;
      part("score-words").textContent = "";
      showProblem(part("score-problem"), error);
    }
  }

  async function ask(facts, signal) {
    const body = new FormData();
    for (const file of files) body.append("image", file);
    const query = { model: part("score-model").value, class: classes.value, alpha: part("score-alpha").value, patches: true };
    const tell = (event, { problem, seconds } = {}) => {
      if (event === "refused") part("score-words").textContent = `${problem.title}. Trying again in ${seconds} s.`;
    };
    const answer = await (await run({ path: "/score", query, body, signal, tell })).json();
    return answer.results.map((result, index) => ({ ...result, file: files[index], address: addressOf(files[index]) }));
  }

  function show(results, facts) {
    part("score-words").textContent = "";
    announce(results.length === 1 ? "The score is there" : `${results.length} scores are there`);
    const look = (result) => part("score-detail").replaceChildren(scoreDetail(result, facts));
    part("score-table").replaceChildren(...(results.length > 1 ? [scoreTable(results, look)] : []));
    look(results[0]);
  }
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
