// The way from one image to another. Owns its request, and the slider that goes along it.

import { element } from "./element.js";
import { pngSource } from "./picture.js";

const STEPS = 13;

// The way between two images, as elements.
export async function wayBetween(ask, images, { model, from }) {
  const body = new FormData();
  for (const { file } of images) body.append("image", file);
  const answer = await ask({ path: "/interpolate", query: { model, class: from, n: STEPS }, body });
  const sources = answer.images.map((image) => pngSource(image.png_base64));
  const large = element("img", { class: "large", alt: "" });
  const slide = element("input", { type: "range", min: 0, max: STEPS - 1, step: 1, "aria-label": "From the first image to the second" });
  const go = (index) => {
    slide.value = index;
    look();
  };
  const strip = sources.map((source, index) => element("img", { src: source, alt: "", click: () => go(index) }));
  const look = () => {
    const at = Number(slide.value);
    large.src = sources[at];
    large.alt = `${Math.round(answer.images[at].at * 100)} % of the way`;
    slide.setAttribute("aria-valuetext", large.alt);
    strip.forEach((image, index) => image.classList.toggle("current", index === at));
  };
  slide.addEventListener("input", look);
  go(Math.floor(STEPS / 2));
  return [large, slide, element("div", { class: "thumbs", "aria-hidden": "true" }, ...strip)];
}
