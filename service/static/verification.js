// Whether a picture is what it says. Owns the request, and the answer in words, also where it says nothing.

import { Problem } from "./api.js";
import { catalogue, className } from "./catalogue.js";
import { element } from "./element.js";
import { pairs } from "./figures.js";

const PNG = "image/png";
// What is answered of a picture, not of the asking: it names no settings, or those of no model that is here.
const ANSWERS = [404, 422];

// What is true of a picture's own settings, as elements.
export async function verification(ask, [{ file }]) {
  if (file.type !== PNG) return silent("only the PNG that this service gave holds its settings.");
  try {
    return judged(await ask({ path: "/verify", body: file, headers: { "Content-Type": PNG } }));
  } catch (error) {
    if (!(error instanceof Problem) || !ANSWERS.includes(error.status)) throw error;
    // What follows the colon is for who reads files.
    return silent(error.fields.length ? `it ${error.fields[0].message.split(": ")[0]}.` : `${error.message}.`);
  }
}

function silent(why) {
  return [element("p", { class: "verdict open" }, element("b", {}, "This picture does not say how it was made"), `: ${why}`)];
}

function judged({ verified, reason, model, claim, max_difference: most }) {
  const words = verified ? "Yes: every pixel is as its settings make it." : `No: ${reason}.`;
  return [
    element("p", { class: verified ? "verdict" : "verdict bad" }, words),
    pairs([
      ["Model", model],
      ["Class", claim.class_index < 0 ? "no class" : className(catalogue.facts(model), claim.class_index)],
      ["Seed", String(claim.seed)],
      ["Guidance", String(claim.guidance)],
      ["Largest difference", most === null ? "not comparable" : `${most} of 255`],
    ]),
  ];
}
