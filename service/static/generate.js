// The view that makes pictures. Owns its form, the one job that it follows, and what becomes of its result.

import { catalogue } from "./catalogue.js";
import { ClassPicker } from "./class_picker.js";
import { announce } from "./element.js";
import { run } from "./job.js";
import { modelPicker } from "./model_picker.js";
import { clearProblem, showProblem } from "./notice.js";
import { picturesOf } from "./picture.js";
import { Seed } from "./seed.js";
import { Stage } from "./stage.js";
import { showView } from "./views.js";
import { heed, wish } from "./wishes.js";

const VARIATIONS = 9;
const part = (id) => document.getElementById(id);

export function startGenerate() {
  const form = part("generate-form");
  const stage = new Stage(part("stage"));
  const classes = new ClassPicker(part("class"), { first: "0" });
  const seed = new Seed(part("seed"), part("dice"), part("lock"));
  let running = null;

  linkGuidance();
  modelPicker(part("model"), (facts) => {
    classes.setFacts(facts);
    if (facts) takeDefaults(facts);
  });

  async function make() {
    running?.abort();
    const own = (running = new AbortController());
    const problem = part("generate-problem");
    clearProblem(problem, form);
    const query = { ...dials(form), class: classes.value, seed: seed.next() };
    stage.begin();
    part("cancel").hidden = false;
    try {
      const answer = await run({
        path: "/generate",
        query,
        signal: own.signal,
        tell: (event, data) => running === own && stage.hear(event, data),
      });
      const pictures = picturesOf(await answer.json());
      stage.show(pictures);
      wish("made", pictures);
    } catch (error) {
      if (running !== own) return;
      stage.give(own.signal.aborted ? "Cancelled" : null);
      if (!own.signal.aborted) showProblem(problem, error, form);
    } finally {
      if (running === own) {
        running = null;
        part("cancel").hidden = true;
      }
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    make();
  });
  part("cancel").addEventListener("click", () => {
    running?.abort();
    form.querySelector("[type=submit]").focus();
  });

  function take(picture, { n, firstSeed }) {
    showView("generate");
    part("model").value = picture.model;
    const facts = catalogue.facts(picture.model);
    classes.setFacts(facts);
    classes.choose(picture.class);
    setGuidance(picture.guidance);
    part("denoise").checked = picture.denoise;
    part("attention_temperature").value = picture.attention_temperature;
    part("n").value = n;
    seed.keep(firstSeed);
    announce("The settings are those of the picture");
    make();
  }
  heed("again", (picture) => take(picture, { n: 1, firstSeed: picture.seed }));
  heed("variations", (picture) => take(picture, { n: VARIATIONS, firstSeed: picture.seed + 1 }));
}

// The form's values as the query of `POST /generate`; of a model that nobody has described yet, its own defaults.
function dials(form) {
  const { model, guidance, n, attention_temperature } = Object.fromEntries(new FormData(form));
  if (!catalogue.facts(model)) return { model, n };
  return { model, guidance, n, attention_temperature, denoise: part("denoise").checked };
}

function takeDefaults({ defaults, noise_type }) {
  setGuidance(defaults.guidance);
  part("own-guidance").textContent = `The model's own: ${defaults.guidance}`;
  part("own-guidance").hidden = false;
  part("own-guidance").onclick = () => setGuidance(defaults.guidance);
  const slider = part("guidance-slider");
  slider.parentElement.style.setProperty("--mark", Math.min(1, defaults.guidance / Number(slider.max)));
  part("attention_temperature").value = defaults.attention_temperature;
  part("denoise").checked = defaults.denoise;
  // There is no such step for a model of another noise.
  part("denoise").disabled = noise_type !== "gaussian";
}

function setGuidance(guidance) {
  part("guidance").value = guidance;
  part("guidance-slider").value = guidance;
}

function linkGuidance() {
  part("guidance-slider").addEventListener("input", ({ target }) => {
    part("guidance").value = target.value;
  });
  part("guidance").addEventListener("input", ({ target }) => {
    part("guidance-slider").value = target.value;
  });
}
