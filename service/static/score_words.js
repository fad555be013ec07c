// Scores in words. Owns how numbers are rounded and what a result says of classes.

// A number with so many digits after the point, or a name with spaces; nothing where there is nothing.
export function inWords(value, digits = 0) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value.replaceAll("_", " ");
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// The class under which an image is likeliest, where every class was asked for.
export function likeliestClass(result) {
  return (result.classes ?? []).reduce((best, each) => (best && best.posterior >= each.posterior ? best : each), null);
}
