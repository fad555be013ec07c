// An image to its noise and again to an image. Owns the two requests, and what is said of the way.

import { element } from "./element.js";
import { figure, pairs } from "./figures.js";
import { fitted, fittedWords } from "./fitted.js";
import { pngSource } from "./picture.js";
import { inWords } from "./score_words.js";

// The answer where an image cannot be encoded: it says something of the image, not of the asking.
const UNFIT = 422;
const LOST = "This image is so far from what the model knows that its noise does not give it back: the numbers overflow.";

// What came of an image that is encoded under the class `from` and decoded under `to`, as elements.
export async function roundTrip(ask, [{ file, address }], { model, facts, from, to }) {
  const query = { model, class: from };
  let there;
  try {
    there = await ask({ path: "/encode", query, body: file, headers: { "Content-Type": file.type } });
  } catch (error) {
    if (error.status !== UNFIT) throw error;
    return [element("p", { class: "verdict bad" }, element("b", {}, "This image has no noise here"), `: ${error.message}`)];
  }
  const came = there.round_trip.changed_values !== null;
  const back = came ? await decoded(ask, there, { model, class: to }) : null;
  const fit = fittedWords(there);
  const seen = fit ? await fitted(file, facts) : element("img", { src: address, alt: "The image" });
  const image = figure(seen, fit ? "Image, as the model saw it" : "Image");
  const noised = figure(noiseOf(there), "Its noise");
  return [
    element("div", { class: "trio" }, image, noised, returned(back, there)),
    came ? null : element("p", { class: "verdict bad" }, LOST),
    pairs([
      [`Round trip under ${under(there)}`, came ? tripWords(there) : "no image came back"],
      ["Largest error", came ? `${inWords(there.round_trip.max_abs_error, 6)}, where black is -1 and white 1` : ""],
      ["Spread of the noise", spreadWords(there.latents.flat(), facts?.noise_type)],
      ["Decoded under", back ? under(back) : ""],
      ["Fitted", fit],
    ]),
  ].filter(Boolean);
}

function decoded(ask, { latents, model_digest }, query) {
  const body = JSON.stringify({ latents, model_digest });
  return ask({ path: "/decode", query, body, headers: { "Content-Type": "application/json" } });
}

function under({ class_name: name }) {
  return name === null ? "no class" : `class ${name}`;
}

function returned(back, there) {
  if (!back) return figure(element("div", { class: "blank" }), "Nothing came back");
  const words = under(back) === under(there) ? "Back again" : `Not back: the same noise under ${under(back)}`;
  return figure(element("img", { src: pngSource(back.images[0].png_base64), alt: "The image that came back" }), words);
}

function tripWords({ round_trip: { changed_values: changed }, latents }) {
  return changed ? `${changed} of ${latents.flat().length} values changed` : "exact, every pixel";
}

// The root of the mean square, and what to hold it against.
function spreadWords(values, noise) {
  const spread = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
  const words =
    noise === "gaussian"
      ? "below 1 for a clean image, as this model learned noisy ones"
      : "near 1 for an image like those that this model learned";
  return `${spread.toFixed(2)}; ${words}`;
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
