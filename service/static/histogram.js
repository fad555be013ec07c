// Where a score lies among those of the calibration. Owns the drawing of its histogram.

import { element } from "./element.js";

const WIDTH = 420;
const HEIGHT = 90;
const FOOT = 18;
const SPACE = "http://www.w3.org/2000/svg";

// A figure of the histogram with the score in it; null where there is none to compare with.
export function histogramOf(result, facts) {
  const calibration = facts?.calibrations?.find((each) => each.digest === result.calibration?.digest);
  const score = result.anomaly_score;
  // Scores compare with those of images that were scored alike: without a class, under the given one, or under all.
  const quantiles = calibration?.score_quantiles[result.calibration.view];
  if (!quantiles || score === null) return null;
  const [least, most] = [Math.min(quantiles[0], score), Math.max(quantiles.at(-1), score)];
  const across = (value) => ((value - least) / (most - least || 1)) * WIDTH;
  const drawing = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + FOOT}`, role: "img", class: "histogram" });
  drawing.setAttribute("aria-label", `The score ${score.toFixed(2)} among the calibration's, ${least.toFixed(2)} to ${most.toFixed(2)}`);
  drawing.append(bars(quantiles, across));
  const threshold = calibration.thresholds[result.calibration.view][String(result.alpha)];
  if (threshold && threshold <= most) drawing.append(line("threshold", across(threshold)), words(across(threshold), "alpha"));
  drawing.append(line(result.is_anomaly ? "here bad" : "here", across(score)), words(across(score), "this image"));
  return element("figure", {}, element("h4", {}, "Among the real images it was calibrated with"), drawing);
}

// Between neighbouring quantiles lie equally many images: the narrower, the higher.
function bars(quantiles, across) {
  const cells = quantiles.slice(1).map((end, index) => [across(quantiles[index]), across(end)]);
  const heights = cells.map(([begin, end]) => 1 / Math.max(end - begin, 1));
  const highest = Math.max(...heights);
  const path = cells.map(([begin, end], index) => {
    const height = (HEIGHT * heights[index]) / highest;
    return `M${begin.toFixed(1)} ${HEIGHT}V${(HEIGHT - height).toFixed(1)}H${Math.max(end, begin + 1).toFixed(1)}V${HEIGHT}Z`;
  });
  return shape("path", { class: "bars", d: path.join("") });
}

function line(name, at) {
  return shape("line", { class: name, x1: at, x2: at, y1: 0, y2: HEIGHT + 4 });
}

function words(at, text) {
  const anchor = at < WIDTH / 5 ? "start" : at > (4 * WIDTH) / 5 ? "end" : "middle";
  const label = shape("text", { x: at, y: HEIGHT + FOOT - 3, "text-anchor": anchor });
  label.textContent = text;
  return label;
}

function shape(tag, attributes) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
