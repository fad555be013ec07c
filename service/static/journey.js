// The view there and back: an image to its noise and again to an image, the way between two, and what is true of one.
// Owns its form, its two images, and which of them each panel acts on.

import { ClassPicker } from "./class_picker.js";
import { announce } from "./element.js";
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

const part = (id) => document.getElementById(id);

export function startJourney() {
  const panels = [];
  const look = () => panels.forEach((panel) => panel.look());
  const from = new ClassPicker(part("back-from"), { label: "Encode under", changed: look });
  const to = new ClassPicker(part("back-to"), { label: "Decode under", changed: look });
  const model = new ModelPicker(part("back-model"), (facts) => {
    from.setFacts(facts);
    to.setFacts(facts);
    clearProblem(part("back-problem"));
    look();
  });
  const first = new ImageSlot(part("end-a"), "First image", look);
  const second = new ImageSlot(part("end-b"), "Second image", look);
  const weights = () => ({ model: model.value, facts: model.facts });
  panels.push(
    new Panel("trip", { slots: [first], dials: () => ({ ...weights(), from: from.value, to: to.value }), work: roundTrip }),
    new Panel("between", { slots: [first, second], dials: () => ({ ...weights(), from: from.value }), work: wayBetween }),
    new Panel("verify", { slots: [first], dials: () => ({}), work: verification }),
  );

  document.addEventListener("paste", (event) => {
    if (!part("back").hidden) (first.file ? second : first).take(imageFiles(event.clipboardData)[0]);
  });
  heed("back", (picture) => {
    showView("back");
    const there = model.choose(picture.model);
    clearProblem(part("back-problem"));
    if (!there) showProblem(part("back-problem"), notServed(picture, ` ${model.value} is asked instead.`));
    // The way back is the same for both.
    if (there) for (const each of [from, to]) each.choose(picture.class);
    // Every panel acts on the first; the one before it is kept where there is room.
    if (first.file && !second.file) second.take(first.file);
    first.take(fileOf(picture));
    announce("The picture is the first image");
  });
}
