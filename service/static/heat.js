// Where in an image its likelihood is low. Owns the colours, and what they are measured in.

import { element } from "./element.js";

const LEAST = [44, 123, 230];
const MOST = [215, 25, 28];
// How much of the colour lies over the picture where the heat is greatest.
const MOST_COVER = 0.85;
// In standard deviations: the same colours mean the same in every picture.
const USUAL_LIMIT = 6;

// A canvas to lay over the image, and words about it; null where the patches were not told.
export function heatOf(result, facts) {
  const patches = result.patch_log_likelihood_nats ?? [];
  const [rows, columns] = facts?.patch_grid ?? [0, 0];
  if (!patches.length || rows * columns !== patches.length) return null;
  const surprises = result.patch_surprise_stds;
  // Where a likelihood is not finite, nothing could be less likely.
  const values = surprises?.map((value) => value ?? Infinity) ?? againstMean(patches);
  const limit = surprises ? USUAL_LIMIT : Math.max(...values.map(Math.abs), 1e-6);
  const words = surprises
    ? `Red is less likely than usual at that place, blue more; full at ${USUAL_LIMIT} standard deviations.`
    : "Red is less likely than the image's mean patch, blue more.";
  return { canvas: drawn(values, rows, columns, limit), words };
}

function againstMean(patches) {
  const known = patches.filter((value) => value !== null);
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  return patches.map((value) => (value === null ? Infinity : mean - value));
}

function drawn(values, rows, columns, limit) {
  const canvas = element("canvas", { width: columns, height: rows, role: "img", "aria-label": "Heat map of the likelihood" });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  for (const [place, value] of values.entries()) {
    const strength = Math.min(1, Math.abs(value) / limit);
    pixels.data.set([...(value > 0 ? MOST : LEAST), Math.round(255 * MOST_COVER * strength)], 4 * place);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
