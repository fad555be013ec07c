// The view there and back: an image to its noise and again to an image, the way between two, and what is true of one.
// Owns its form and what its three buttons do.

import { ClassPicker } from "./class_picker.js";
import { element } from "./element.js";
import { ImageSlot, imageFiles } from "./image_slot.js";
import { run } from "./job.js";
import { modelPicker } from "./model_picker.js";
import { clearProblem, showProblem } from "./notice.js";
import { fileOf } from "./picture.js";
import { showView } from "./views.js";
import { heed } from "./wishes.js";

const STEPS = 13;
const part = (id) => document.getElementById(id);

export function startJourney() {
  const from = new ClassPicker(part("back-from"), { label: "Encode under" });
  const to = new ClassPicker(part("back-to"), { label: "Decode under" });
  modelPicker(part("back-model"), (facts) => {
    from.setFacts(facts);
    to.setFacts(facts);
  });
  const look = () => {
    part("trip-go").disabled = part("verify-go").disabled = !first.file;
    part("between-go").disabled = !(first.file && second.file);
  };
  const first = new ImageSlot(part("end-a"), "First image", look);
  const second = new ImageSlot(part("end-b"), "Second image", look);
  document.addEventListener("paste", (event) => {
    if (!part("back").hidden) (first.file ? second : first).take(imageFiles(event.clipboardData)[0]);
  });
  heed("back", (picture) => {
    showView("back");
    if (picture.model) part("back-model").value = picture.model;
    from.choose(picture.class);
    (first.file ? second : first).take(fileOf(picture));
  });

  const model = () => part("back-model").value;
  press("trip-go", () => trip({ model: model(), from: from.value, to: to.value, file: first.file }));
  press("between-go", () => between({ model: model(), class: from.value, files: [first.file, second.file] }));
  press("verify-go", () => verify(first.file));
}

// Let a button do its work, one press at a time, and tell what goes wrong.
function press(id, work) {
  const button = part(id);
  button.addEventListener("click", async () => {
    clearProblem(part("back-problem"));
    button.setAttribute("aria-busy", "true");
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      showProblem(part("back-problem"), error);
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });
}

function asked(path, query, body, headers = {}) {
  const tell = (event, data) => {
    if (event === "refused") showProblem(part("back-problem"), data.problem);
    if (event === "accepted") clearProblem(part("back-problem"));
  };
  const signal = new AbortController().signal;
  return run({ path, query, body, headers, signal, tell }).then((answer) => answer.json());
}

async function trip({ model, from, to, file }) {
  const there = await asked("/encode", { model, class: from }, file, { "Content-Type": file.type });
  const latents = JSON.stringify({ latents: there.latents, model_digest: there.model_digest });
  const back = await asked("/decode", { model, class: to }, latents, { "Content-Type": "application/json" });
  const { max_abs_error: error, changed_values: changed } = there.round_trip;
  const values = there.latents.flat();
  const spread = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
  part("trip-out").replaceChildren(
    element(
      "div",
      { class: "trio" },
      shown(URL.createObjectURL(file), "The image", "Image"),
      element("figure", {}, noiseOf(there), element("figcaption", {}, "Its noise")),
      shown(`data:image/png;base64,${back.images[0].png_base64}`, "The image that came back", "Back again"),
    ),
    facts([
      ["Round trip", changed ? `${changed} values changed` : "exact, every pixel"],
      ["Largest error", `${error.toExponential(1)} of a range of 2`],
      ["Spread of the noise", `${spread.toFixed(2)}, of images like its own 1`],
      ["Decoded under", back.class_name ?? "no class"],
    ]),
  );
}

async function between({ model, class: index, files }) {
  const body = new FormData();
  for (const file of files) body.append("image", file);
  const { images } = await asked("/interpolate", { model, class: index, n: STEPS }, body);
  const sources = images.map((image) => `data:image/png;base64,${image.png_base64}`);
  const large = element("img", { class: "large", alt: "" });
  const slide = element("input", { type: "range", min: 0, max: STEPS - 1, step: 1, "aria-label": "From the first image to the second" });
  const look = () => {
    const at = Number(slide.value);
    large.src = sources[at];
    large.alt = `${Math.round(images[at].at * 100)} % of the way`;
    slide.setAttribute("aria-valuetext", large.alt);
  };
  slide.addEventListener("input", look);
  slide.value = Math.floor(STEPS / 2);
  look();
  const strip = sources.map((source) => element("img", { src: source, alt: "" }));
  part("between-out").replaceChildren(large, slide, element("div", { class: "thumbs", "aria-hidden": "true" }, ...strip));
}

async function verify(file) {
  const found = await asked("/verify", {}, file, { "Content-Type": "image/png" });
  part("verify-out").replaceChildren(
    element(
      "p",
      { class: found.verified ? "verdict good" : "verdict bad" },
      found.verified ? "Yes: every pixel is as its settings make it." : `No: ${found.reason}.`,
    ),
    facts([
      ["Model", found.model],
      ["Class", found.claim.class_index < 0 ? "no class" : String(found.claim.class_index)],
      ["Seed", String(found.claim.seed)],
      ["Guidance", String(found.claim.guidance)],
      ["Largest difference", found.max_difference === null ? "not comparable" : `${found.max_difference} of 255`],
    ]),
  );
}

function shown(source, alt, words) {
  return element("figure", {}, element("img", { src: source, alt }), element("figcaption", {}, words));
}

function facts(pairs) {
  return element("dl", {}, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

// The latents (T, D) of an image as greys, a patch at its place: 0 is middle grey, black and white three away.
function noiseOf({ shape: [patches, values], latents }) {
  const across = Math.round(Math.sqrt(patches));
  const channels = Number.isInteger(Math.sqrt(values)) ? 1 : 3;
  const side = Math.round(Math.sqrt(values / channels));
  const canvas = element("canvas", { width: across * side, height: across * side, role: "img", "aria-label": "The noise" });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  for (const [patch, row] of latents.entries()) {
    for (let place = 0; place < side * side; place += 1) {
      const x = (patch % across) * side + (place % side);
      const y = Math.floor(patch / across) * side + Math.floor(place / side);
      const colour = [0, 1, 2].map((channel) => 128 + 42 * row[(channel % channels) * side * side + place]);
      pixels.data.set([...colour, 255], 4 * (y * canvas.width + x));
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
