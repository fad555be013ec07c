// The view of sweeps: one noise, one dial turned. Owns what is turned, and the strips that come of it.

import { catalogue, className } from "./catalogue.js";
import { ClassPicker } from "./class_picker.js";
import { announce, element, part } from "./element.js";
import { Errand } from "./errand.js";
import { jobWords } from "./job_words.js";
import { ModelPicker } from "./model_picker.js";
import { imageOf, picturesOf, titleOf } from "./picture.js";
import { Seed } from "./seed.js";
import { wish } from "./wishes.js";

const GUIDANCES = [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4];
const MOST_CLASSES = 40;
const AT_ONCE = 4;

export function startSweeps() {
  const form = part("sweeps-form");
  // Without a class guidance has nothing to insist on, and every picture of a sweep would be the same.
  const classes = new ClassPicker(part("sweeps-class"), { extra: [], first: "0" });
  const model = new ModelPicker(part("sweeps-model"), (facts) => {
    classes.setFacts(facts);
    offer(facts);
  });
  // One noise for all: it is drawn anew where somebody asks for that, or has left none.
  const seed = new Seed(part("sweeps-seed"), part("sweeps-dice"));
  const errand = new Errand("sweeps", form.querySelector(".main"), form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (classes.wasRefused(event.submitter)) return;
    const query = { model: model.value, class: classes.value, seed: seed.next() };
    const sweep = event.submitter?.value === "class" ? classSweep(query) : guidanceSweep(query);
    const done = await errand.run("", (ask, say) => fill(sweep, ask, say));
    if (done) announce("The sweep is ready");
  });
}

// Offer the dials that a model has.
function offer(facts) {
  const none = !facts?.num_classes;
  for (const button of part("sweeps-form").querySelectorAll("[type=submit]")) button.disabled = none;
  part("sweeps-none").hidden = !facts || !none;
}

function guidanceSweep(query) {
  return {
    title: `${query.model}: class ${className(catalogue.facts(query.model), query.class)}, noise ${query.seed}, guidance 0 to 4`,
    words: "From left to right the class is insisted on more and more.",
    cells: GUIDANCES.map((guidance) => ({ words: String(guidance), query: { ...query, guidance } })),
  };
}

function classSweep(query) {
  const facts = catalogue.facts(query.model);
  const guidance = facts?.defaults.guidance;
  const count = Math.min(facts?.num_classes ?? 0, MOST_CLASSES);
  const rest = (facts?.num_classes ?? 0) > count ? ` The first ${count} of ${facts.num_classes} classes.` : "";
  return {
    title: `${query.model}: every class, noise ${query.seed}, guidance ${guidance}`,
    words: `What the pictures share is in the noise, what they do not is in the class.${rest}`,
    cells: Array.from({ length: count }, (_, index) => ({
      words: className(facts, index),
      query: { ...query, class: index, guidance },
    })),
  };
}

// A strip without its pictures yet.
function drawn({ title, words, cells }) {
  const places = cells.map((cell) => element("li", {}, element("div", { class: "blank" }), element("span", {}, cell.words)));
  const caption = element("figcaption", {}, element("b", {}, title));
  const hint = element("p", { class: "hint" }, words);
  return { places, hint, strip: element("figure", { class: "sweep" }, caption, element("ol", {}, ...places), hint) };
}

// Draw a strip and fill its cells, a few at a time; an error of one ends the rest.
async function fill(sweep, ask, say) {
  const { cells } = sweep;
  const { places, hint, strip } = drawn(sweep);
  part("sweeps-strips").prepend(strip);
  strip.scrollIntoView({ block: "nearest" });
  const made = () => strip.querySelectorAll("img").length;
  const count = () => say(`${made()} of ${cells.length} pictures are there`);
  const tell = (event, data) => (event === "refused" ? say(jobWords(event, data)) : count());
  const waiting = [...cells.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, { words: name, query }] = next;
      const [picture] = picturesOf(await ask({ path: "/generate", query, tell }));
      places[index].firstChild.replaceWith(shown(picture, name));
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return true;
  } catch (error) {
    for (const place of places) if (!place.querySelector("img")) place.remove();
    hint.prepend(`Broken off after ${made()} of ${cells.length} pictures. `);
    if (!made()) strip.remove();
    throw error;
  }
}

// A picture of a sweep, which can be pressed to be looked at closely.
function shown(picture, words) {
  const label = `${words}: a picture of ${titleOf(picture)}`;
  return element("button", { type: "button", "aria-label": label, click: () => wish("look", picture) }, imageOf(picture));
}
