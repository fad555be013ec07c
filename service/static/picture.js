// One picture that was made, with all that makes it again. Owns its names, its source and its settings in words.

import { catalogue, className } from "./catalogue.js";
import { element } from "./element.js";

// The pictures of a generation's JSON answer, in order.
export function picturesOf(body) {
  return body.images.map((image, place) => ({
    id: [body.model, body.class, body.guidance, image.seed, body.denoise, body.attention_temperature].join("/"),
    model: body.model,
    class: body.class,
    class_name: body.class_name,
    guidance: body.guidance,
    seed: image.seed,
    denoise: body.denoise,
    attention_temperature: body.attention_temperature,
    width: image.width,
    height: image.height,
    png_base64: image.png_base64,
    // In their order, wherever they are sorted.
    made_at: Date.now() - place / 1000,
  }));
}

// The address of a PNG that an answer holds.
export function pngSource(base64) {
  return `data:image/png;base64,${base64}`;
}

export function sourceOf(picture) {
  return pngSource(picture.png_base64);
}

// The element that shows it.
export function imageOf(picture, attributes = {}) {
  const words = `A picture of ${titleOf(picture)}`;
  return element("img", { src: sourceOf(picture), alt: words, draggable: "false", ...attributes });
}

export function titleOf(picture) {
  const name = picture.class_name ?? className(catalogue.facts(picture.model), picture.class);
  return `${name}, seed ${picture.seed}`;
}

export function fileNameOf(picture) {
  const name = String(picture.class_name ?? picture.class ?? "no-class").replaceAll(/[^\w-]+/g, "-");
  return `${picture.model}-${name}-${picture.seed}.png`;
}

export function fileOf(picture) {
  const bytes = Uint8Array.from(atob(picture.png_base64), (letter) => letter.charCodeAt(0));
  return new File([bytes], fileNameOf(picture), { type: "image/png" });
}

// The query of `POST /generate` that makes it again.
export function queryOf(picture) {
  const { model, guidance, seed, denoise, attention_temperature } = picture;
  return { class: picture.class, guidance, seed, denoise, attention_temperature, model };
}

// Its settings as pairs of words.
export function settingsOf(picture) {
  return [
    ["Model", picture.model],
    ["Class", picture.class_name ?? className(null, picture.class)],
    ["Guidance", String(picture.guidance)],
    ["Seed", String(picture.seed)],
    ["Denoised", picture.denoise ? "yes" : "no"],
    ...(picture.attention_temperature < 1 ? [["Attention temperature", String(picture.attention_temperature)]] : []),
    ["Size", `${picture.width} × ${picture.height}`],
  ];
}
