// The view that makes pictures. Owns its form, and what becomes of the result.

import { ClassPicker } from "./class_picker.js";
import { announce, part } from "./element.js";
import { Errand } from "./errand.js";
import { ModelPicker, notServed } from "./model_picker.js";
import { isNumber, stepByArrows } from "./number_field.js";
import { picturesOf, queryOf } from "./picture.js";
import { Seed } from "./seed.js";
import { Stage } from "./stage.js";
import { showView } from "./views.js";
import { heed, wish } from "./wishes.js";

const VARIATIONS = 9;

export function startGenerate() {
  const maker = new Maker(part("generate-form"));
  linkGuidance();
  stepByArrows(part("guidance"), { step: 0.1, least: 0, most: 20 });
  stepByArrows(part("n"), { step: 1, least: 1, most: 16 });
  stepByArrows(part("attention_temperature"), { step: 0.1, least: 0.01, most: 1 });
  heed("again", (picture) => maker.take(picture, { n: 1, firstSeed: picture.seed }));
  heed("variations", (picture) => maker.take(picture, { n: VARIATIONS, firstSeed: picture.seed + 1 }));
}

class Maker {
  constructor(form) {
    this.form = form;
    this.stage = new Stage(part("stage"));
    this.classes = new ClassPicker(part("class"), { first: "0", changed: () => this.#weigh() });
    this.seed = new Seed(part("seed"), part("dice"), { lock: part("lock"), kept: part("seed-kept") });
    this.models = new ModelPicker(part("model"), (facts) => this.#describe(facts));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.classes.wasRefused(event.submitter)) this.make(this.#dials());
    });
    part("attention_temperature").addEventListener("input", () => this.#weigh());
    this.errand = new Errand("generate", form.querySelector("[type=submit]"), form);
  }

  // Make what a query of `POST /generate` asks for; a job at hand is cancelled.
  async make(query) {
    const tell = (event, data) => this.stage.hear(event, data);
    const made = await this.errand.run("", async (ask) => {
      this.stage.begin();
      return picturesOf(await ask({ path: "/generate", query, tell }));
    });
    if (made) {
      this.stage.show(made);
      wish("made", made);
    } else if (!this.errand.busy) {
      this.stage.give(this.errand.words.textContent);
    }
  }

  // Set the form to the settings of a picture, and make it.
  take(picture, { n, firstSeed }) {
    showView("generate");
    this.errand.stop();
    if (!this.models.choose(picture.model)) return this.errand.fail(notServed(picture));
    this.classes.choose(picture.class);
    setGuidance(picture.guidance);
    part("denoise").checked = picture.denoise;
    part("attention_temperature").value = picture.attention_temperature;
    this.#weigh();
    part("n").value = n;
    this.seed.keep(firstSeed);
    announce("The settings are those of the picture");
    // Not what the form makes of them: of a model that nobody has described yet it knows no class.
    return this.make({ ...queryOf(picture), n, seed: firstSeed });
  }

  // Offer what a model has, and take its defaults.
  #describe(facts) {
    this.classes.setFacts(facts);
    if (facts) takeDefaults(facts);
    this.#weigh();
  }

  // Without a class guidance has nothing to insist on, but for what the attention temperature brings about.
  #weigh() {
    const temperature = part("attention_temperature").value;
    const idle = this.classes.value === "" && !(Number(temperature) < 1);
    for (const id of ["guidance", "guidance-slider"]) part(id).disabled = idle;
    part("no-guidance").hidden = !idle;
    part("temperature-now").textContent = temperature && Number(temperature) !== 1 ? `: ${temperature}` : "";
  }

  // The form's values as the query of `POST /generate`; of a model that nobody has described yet, its own defaults.
  #dials() {
    const typed = (id) => part(id).value.trim();
    const always = { model: this.models.value, n: typed("n"), class: this.classes.value, seed: this.seed.next() };
    if (!this.models.facts) return always;
    const [guidance, temperature] = ["guidance", "attention_temperature"].map(typed);
    return { ...always, guidance, attention_temperature: temperature, denoise: part("denoise").checked };
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
    if (isNumber(target.value)) part("guidance-slider").value = target.value;
  });
}
