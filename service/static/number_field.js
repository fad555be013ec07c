// A number that is typed as text, for what a browser cannot read in a field of numbers it passes over in silence: here
// the service refuses it in words. Owns the arrow keys, which go on by a step.

// Let the arrow keys go from `least` to `most` in a field; what is no number stays as it is.
export function stepByArrows(field, { step, least, most }) {
  field.addEventListener("keydown", (event) => {
    const by = { ArrowUp: step, ArrowDown: -step }[event.key];
    if (!by || !isNumber(field.value)) return;
    event.preventDefault();
    // In tenths there are sums such as 0.30000000000000004.
    field.value = String(Number(Math.max(least, Math.min(most, Number(field.value) + by)).toFixed(6)));
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

export function isNumber(text) {
  return text.trim() !== "" && Number.isFinite(Number(text));
}
