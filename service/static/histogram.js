// Where a score lies among those of the calibration. Owns the drawing of its histogram, and how it is explained.

import { element } from "./element.js";

const WIDTH = 420;
const HEAD = 20;
const HEIGHT = 90;
const FOOT = 20;
// Beyond all but the strangest images lies so much of their spread again, and at most so much for the threshold; what
// is further off lies at the edge.
const BEYOND = 0.5;
const FARTHEST = 1.5;
const SPACE = "http://www.w3.org/2000/svg";

// A figure of the histogram with the score in it; null where there is none to compare with.
export function histogramOf(result, facts) {
  const calibration = facts?.calibrations?.find((each) => each.digest === result.calibration?.digest);
  // Scores compare with those of images that were scored alike: without a class, under the given one, or under all.
  const quantiles = calibration?.score_quantiles[result.calibration.view];
  const score = result.anomaly_score;
  if (!quantiles || score === null) return null;
  const threshold = calibration.thresholds[result.calibration.view][String(result.alpha)] ?? null;
  const axis = new Axis(quantiles, threshold);
  const drawing = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEAD + HEIGHT + FOOT}`, role: "img", class: "histogram" });
  drawing.setAttribute("aria-label", `The score ${inShort(score)} among the calibration's, ${inShort(quantiles[0])} to ${inShort(quantiles.at(-1))}`);
  drawing.append(...bars(quantiles, axis));
  if (threshold !== null) drawing.append(...marked(axis, threshold, "unusual from", "threshold", HEAD + HEIGHT + FOOT - 5));
  drawing.append(...marked(axis, score, "this image", result.is_anomaly ? "here bad" : "here", HEAD - 7));
  const words = explained(quantiles, axis, calibration, result, threshold);
  const title = element("h4", {}, "How strange, among the real images it was calibrated with");
  return element("figure", {}, title, drawing, element("p", { class: "hint" }, words));
}

// The line of scores, cut where it would serve a handful of images alone.
class Axis {
  constructor(quantiles, threshold) {
    const [least, high, last] = [quantiles[0], quantiles.at(-2), quantiles.at(-1)];
    const spread = high - least || 1;
    const wanted = threshold === null ? high : Math.min(threshold + spread / 10, high + FARTHEST * spread);
    this.least = least - spread / 10;
    this.most = Math.max(Math.min(last, high + BEYOND * spread), wanted);
    this.cut = last > this.most;
  }

  at(value) {
    return Math.max(0, Math.min(1, (value - this.least) / (this.most - this.least))) * WIDTH;
  }

  // -1 for what lies before it, 1 for what lies beyond, else 0.
  side(value) {
    return value < this.least ? -1 : Number(value > this.most);
  }
}

// Between neighbouring quantiles lie equally many images: the narrower, the higher. The last may go on beyond the edge.
function bars(quantiles, axis) {
  const cells = quantiles.slice(1).map((end, index) => [axis.at(quantiles[index]), axis.at(end)]);
  const heights = cells.map(([begin, end]) => 1 / Math.max(end - begin, 1));
  const highest = Math.max(...heights);
  const paths = cells.map(([begin, end], index) => {
    const top = HEAD + HEIGHT * (1 - heights[index] / highest);
    return `M${begin.toFixed(1)} ${HEAD + HEIGHT}V${top.toFixed(1)}H${Math.max(end, begin + 1).toFixed(1)}V${HEAD + HEIGHT}Z`;
  });
  const last = axis.cut ? [shape("path", { class: "beyond", d: paths.pop() })] : [];
  return [shape("path", { class: "bars", d: paths.join("") }), ...last];
}

// A score as a line with its name and number; beyond an end of the axis, as an arrow there in its stead.
function marked(axis, value, name, kind, baseline) {
  const [at, side] = [axis.at(value), axis.side(value)];
  const line = shape("line", { class: kind, x1: at, x2: at, y1: HEAD - 3, y2: HEAD + HEIGHT + 3 });
  const text = `${side < 0 ? "← " : ""}${name} ${inShort(value)}${side > 0 ? " →" : ""}`;
  const anchor = at < WIDTH / 5 ? "start" : at > (4 * WIDTH) / 5 ? "end" : "middle";
  const label = shape("text", { class: kind, x: at, y: baseline, "text-anchor": anchor });
  label.textContent = text;
  return side ? [label] : [line, label];
}

function explained(quantiles, axis, { n }, { alpha }, threshold) {
  const share = Math.round(100 / (quantiles.length - 1));
  const rest = axis.cut ? `; the pale one goes on to ${inShort(quantiles.at(-1))}` : "";
  const rate = `1 in ${Math.round(1 / alpha).toLocaleString("en")}`;
  const where = threshold !== null && (axis.side(threshold) ? inShort(threshold) : "the dashed line");
  const line = where ? ` ${rate} of them lies beyond ${where}: from there on an image is called unusual.` : "";
  return `To the right is stranger. Each bar holds ${share} % of ${n.toLocaleString("en")} images${rest}.${line}`;
}

function inShort(value) {
  return Math.abs(value) < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function shape(tag, attributes) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
