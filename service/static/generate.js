// The view that makes pictures. Owns its form, the one job that it follows, and what becomes of its result.

import { catalogue } from "./catalogue.js";
import { ClassPicker } from "./class_picker.js";
import { announce } from "./element.js";
import { run } from "./job.js";
import { ModelPicker, notServed } from "./model_picker.js";
import { clearProblem, showProblem } from "./notice.js";
import { picturesOf, queryOf } from "./picture.js";
import { Seed } from "./seed.js";
import { Stage } from "./stage.js";
import { showView } from "./views.js";
import { heed, wish } from "./wishes.js";

const VARIATIONS = 9;
const part = (id) => document.getElementById(id);

export function startGenerate() {
  const maker = new Maker(part("generate-form"));
  linkGuidance();
  heed("again", (picture) => maker.take(picture, { n: 1, firstSeed: picture.seed }));
  heed("variations", (picture) => maker.take(picture, { n: VARIATIONS, firstSeed: picture.seed + 1 }));
}

class Maker {
  // What can end the job at hand; null while there is none.
  #running = null;

  constructor(form) {
    this.form = form;
    this.stage = new Stage(part("stage"));
    this.classes = new ClassPicker(part("class"), { first: "0" });
    this.seed = new Seed(part("seed"), part("dice"), part("lock"));
    this.models = new ModelPicker(part("model"), (facts) => this.#describe(facts));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.make(this.#dials());
    });
    part("cancel").addEventListener("click", () => {
      this.#running?.abort();
      form.querySelector("[type=submit]").focus();
    });
  }

  // Make what a query of `POST /generate` asks for; a job at hand is cancelled.
  async make(query) {
    this.#running?.abort();
    const own = (this.#running = new AbortController());
    clearProblem(part("generate-problem"), this.form);
    this.stage.begin();
    part("cancel").hidden = false;
    try {
      await this.#follow(query, own);
    } catch (error) {
      if (this.#running === own) this.#give(error, own.signal.aborted);
    } finally {
      if (this.#running === own) {
        this.#running = null;
        part("cancel").hidden = true;
      }
    }
  }

  // Set the form to the settings of a picture, and make it.
  take(picture, { n, firstSeed }) {
    showView("generate");
    clearProblem(part("generate-problem"), this.form);
    if (!this.models.choose(picture.model)) {
      showProblem(part("generate-problem"), notServed(picture));
      return;
    }
    this.classes.choose(picture.class);
    setGuidance(picture.guidance);
    part("denoise").checked = picture.denoise;
    part("attention_temperature").value = picture.attention_temperature;
    part("n").value = n;
    this.seed.keep(firstSeed);
    announce("The settings are those of the picture");
    // Not what the form makes of them: of a model that nobody has described yet it knows no class.
    this.make({ ...queryOf(picture), n, seed: firstSeed });
  }

  // Offer what a model has, and take its defaults.
  #describe(facts) {
    this.classes.setFacts(facts);
    if (facts) takeDefaults(facts);
  }

  // The form's values as the query of `POST /generate`; of a model that nobody has described yet, its own defaults.
  #dials() {
    const { model, guidance, n, attention_temperature } = Object.fromEntries(new FormData(this.form));
    const always = { model, n, class: this.classes.value, seed: this.seed.next() };
    if (!catalogue.facts(model)) return always;
    return { ...always, guidance, attention_temperature, denoise: part("denoise").checked };
  }

  async #follow(query, own) {
    const tell = (event, data) => this.#running === own && this.stage.hear(event, data);
    const answer = await run({ path: "/generate", query, signal: own.signal, tell });
    const pictures = picturesOf(await answer.json());
    this.stage.show(pictures);
    wish("made", pictures);
  }

  #give(error, aborted) {
    this.stage.give(aborted ? "Cancelled" : null);
    if (!aborted) showProblem(part("generate-problem"), error, this.form);
  }
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
  part("no-denoise").hidden = noise_type === "gaussian";
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
