// Whether a picture is what it says. Owns the request, and the answer in words, also where it says nothing.

import { Problem } from "./api.js";
import { catalogue, className } from "./catalogue.js";
import { element } from "./element.js";
import { pairs } from "./figures.js";
import { originOf } from "./origin.js";

const PNG = "image/png";
const SILENT = "This picture does not say how it was made";
// What is answered of a picture, not of the asking, by how the service begins to say it.
const ABSENT = 404;
const UNFIT = 422;
const HEADLINES = [
  [/^(is|has colours|may have)/, "This file cannot be checked"],
  [/^claims .* is missing$/, "It does not say enough to be made again"],
  [/^claims/, "It says how it was made, but nothing is made like that"],
  [/^was made from/, "It cannot be made again"],
];

// What is true of a picture's own settings, as elements.
export async function verification(ask, [{ file }]) {
  const { isPng, isOurs } = await originOf(file);
  if (!isPng) return open(SILENT, "only the PNG that this service gave holds its settings");
  if (!isOurs) return open(SILENT, "no settings of this service are in it");
  try {
    return judged(await ask({ path: "/verify", body: file, headers: { "Content-Type": PNG } }));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === ABSENT) return open("It says how it was made, but its model is not here", error.message);
    if (error.status !== UNFIT || !error.fields.length) throw error;
    const [{ message }] = error.fields;
    const headline = HEADLINES.find(([begins]) => begins.test(message))?.[1] ?? "What it says of itself cannot be read";
    return open(headline, `it ${message}`);
  }
}

// Neither yes nor no.
function open(headline, why) {
  return [element("p", { class: "verdict open" }, element("b", {}, headline), `: ${why}.`)];
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
