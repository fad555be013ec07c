// The view there and back: an image to its noise and again to an image, the way between two, and what is true of one.
// Owns its form, its two images, and which of them each panel acts on.

import { ClassPicker } from "./class_picker.js";
import { announce, part } from "./element.js";
import { ImageSlot, imageFiles } from "./image_slot.js";
import { ModelPicker, notServed } from "./model_picker.js";
import { clearProblem, showProblem } from "./notice.js";
import { Panel } from "./panel.js";
import { fileOf } from "./picture.js";
import { roundTrip } from "./round_trip.js";
import { verification } from "./verification.js";
import { showView } from "./views.js";
import { wayBetween } from "./way_between.js";
import { heed } from "./wishes.js";

export function startJourney() {
  const journey = new Journey();
  document.addEventListener("paste", (event) => {
    if (!part("back").hidden) journey.paste(imageFiles(event.clipboardData)[0]);
  });
  heed("back", (picture) => {
    showView("back");
    journey.take(picture);
  });
}

class Journey {
  #panels = [];

  constructor() {
    const look = () => this.#panels.forEach((panel) => panel.look());
    this.from = new ClassPicker(part("back-from"), { label: "Encode under", changed: look });
    this.to = new ClassPicker(part("back-to"), { label: "Decode under", changed: look });
    this.model = new ModelPicker(part("back-model"), (facts) => {
      for (const each of [this.from, this.to]) each.setFacts(facts);
      clearProblem(part("back-problem"));
      look();
    });
    this.first = new ImageSlot(part("end-a"), "First image", look);
    this.second = new ImageSlot(part("end-b"), "Second image", look);
    this.#panels = this.#made();
  }

  // Take an image for the place that is free, the first before the second.
  paste(file) {
    (this.first.file ? this.second : this.first).take(file);
  }

  // Take a picture of this service for the first image, with its own model and class.
  take(picture) {
    const there = this.model.choose(picture.model);
    clearProblem(part("back-problem"));
    if (!there) showProblem(part("back-problem"), notServed(picture, ` ${this.model.value} is asked instead.`));
    // The way back is the same for both.
    if (there) for (const each of [this.from, this.to]) each.choose(picture.class);
    // The one before it is kept where there is room.
    if (this.first.file && !this.second.file) this.second.take(this.first.file);
    this.first.take(fileOf(picture));
    announce("The picture is the first image");
  }

  #made() {
    const { first, second, model, from, to } = this;
    const under = () => ({ model: model.value, facts: model.facts, from: from.value });
    return [
      new Panel("trip", "Encode and decode", { slots: [first], dials: () => ({ ...under(), to: to.value }), work: roundTrip }),
      new Panel("between", "Find the way", { slots: [first, second], dials: under, work: wayBetween }),
      new Panel("verify", "Verify", { slots: [first], dials: () => ({}), work: verification }),
    ];
  }
}
