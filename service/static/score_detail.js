// One score, looked at closely. Owns its layout: the picture under its heat, the verdict, the numbers, the classes.

import { element } from "./element.js";
import { pairs } from "./figures.js";
import { fittedWords } from "./fitted.js";
import { heatOf } from "./heat.js";
import { histogramOf } from "./histogram.js";
import { inWords } from "./score_words.js";

const MOST_BARS = 5;
const DIRECTIONS = {
  too_unlikely: "less likely than images of its kind",
  too_likely: "likelier than images of its kind, as simple ones can be",
  unusual_latent: "as likely as images of its kind, but its noise is not like theirs",
};

// The element that shows a result of `POST /score`, with as much heat as `view` wants.
export function scoreDetail(result, facts, view) {
  const name = element("h3", { tabindex: "-1" }, result.file.name);
  return element("div", { class: "scored" }, name, picturePane(result, facts, view), findings(result, facts));
}

function picturePane(result, facts, view) {
  const image = element("img", { src: result.address, alt: result.file.name });
  const heat = heatOf(result, facts);
  const fit = fittedWords(result);
  const seen = fit ? element("p", { class: "hint" }, `The model saw it ${fit}.`) : null;
  if (!heat) return element("div", { class: "pane" }, element("div", { class: "layers" }, image), seen);
  const layers = element("div", { class: "layers heated" }, image, heat.canvas);
  const slide = element("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.01,
    value: view.heat,
    "aria-label": "Opacity of the heat map",
    input: () => warm(),
  });
  const warm = () => {
    view.heat = slide.value;
    layers.style.setProperty("--heat", view.heat);
  };
  warm();
  return element(
    "div",
    { class: "pane" },
    layers,
    element("label", {}, "Heat", slide),
    element("p", { class: "hint" }, heat.words),
    seen,
  );
}

function findings(result, facts) {
  return element(
    "div",
    { class: "findings" },
    verdict(result),
    element("ul", { class: "warnings" }, ...(result.warnings ?? []).map((words) => element("li", {}, sentence(words)))),
    histogramOf(result, facts),
    pairs(numbers(result)),
    posterior(result),
  );
}

function sentence(words) {
  return `${words[0].toUpperCase()}${words.slice(1).replaceAll(/(\d) x (\d)/g, "$1 × $2")}.`;
}

function verdict(result) {
  if (result.p_value === null || result.p_value === undefined) return null;
  const { n } = result.calibration;
  // What the p-value is: (1 + those) / (1 + all).
  const strange = Math.round(result.p_value * (n + 1)) - 1;
  const those = strange > 0 ? `${inWords(strange)} ${strange === 1 ? "is" : "are"}` : "none is";
  const rate = `Of the ${n.toLocaleString("en")} real images it was calibrated with, ${those} at least as strange`;
  if (!result.is_anomaly) return element("p", { class: "verdict" }, element("b", {}, "Usual. "), `${rate}.`);
  const why = DIRECTIONS[result.direction];
  const ours = result.isOurs ? " It was made by a model: it is no real image, and most such are told from those." : "";
  return element("p", { class: "verdict bad" }, element("b", {}, "Unusual"), `${why ? `: ${why}` : ""}. ${rate}.${ours}`);
}

function numbers(result) {
  return [
    ["Log-likelihood", result.log_likelihood_nats === null ? "not finite" : `${inWords(result.log_likelihood_nats, 1)} nats`],
    ["Bits per dim", inWords(result.bits_per_dim, 3)],
    ["Density", result.density],
    ["p-value", inWords(result.p_value, 4)],
    ["Stranger than", result.percentile === undefined || result.percentile === null ? "" : `${inWords(result.percentile, 1)} % of the calibration's images`],
    ["Complexity", result.complexity_bits_per_dim ? `${inWords(result.complexity_bits_per_dim, 2)} bits per dim, encoded without loss` : ""],
    ["Calibration", result.calibration ? `${result.calibration.name}, ${result.calibration.n.toLocaleString("en")} images` : ""],
  ];
}

function posterior(result) {
  if (!result.classes?.length) return null;
  const likeliest = [...result.classes].sort((one, other) => other.posterior - one.posterior).slice(0, MOST_BARS);
  const bars = likeliest.map(({ class_name: name, posterior: share }) => {
    const words = `${inWords(100 * share, 1)} %`;
    return element(
      "li",
      {},
      element("span", {}, name),
      element("meter", { min: 0, max: 1, value: share, "aria-label": `${name}: ${words}` }),
      element("span", { "aria-hidden": "true" }, words),
    );
  });
  return element("div", {}, element("h4", {}, "Which class, if it is one of these at all"), element("ol", { class: "bars" }, ...bars));
}
