// What one view asks of another: make this again, score it, take it along. Owns the passing on alone.

const listeners = new Map();

// Be told of wishes of a kind; those are `again`, `variations`, `score`, `back`, `made` and `look`.
export function heed(kind, listener) {
  listeners.set(kind, [...(listeners.get(kind) ?? []), listener]);
}

export function wish(kind, detail) {
  for (const listener of listeners.get(kind) ?? []) listener(detail);
}
