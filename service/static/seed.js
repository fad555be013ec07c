// The seed of a picture: drawn, kept, or drawn anew before each. Owns its field, dice and lock.

// A seed that nobody has asked for yet, short enough to be told.
export function drawnSeed() {
  return String(crypto.getRandomValues(new Uint32Array(1))[0]);
}

export class Seed {
  // `kept` are words that are shown while it is held.
  constructor(input, dice, lock, kept) {
    Object.assign(this, { input, lock, kept });
    dice.addEventListener("click", () => this.roll());
    lock.addEventListener("click", () => this.hold(!this.held));
    // Whoever types a seed means it.
    input.addEventListener("input", () => this.hold(true));
    this.hold(false);
    this.roll();
  }

  get held() {
    return this.lock.getAttribute("aria-pressed") === "true";
  }

  get value() {
    return this.input.value.trim();
  }

  hold(held) {
    this.lock.setAttribute("aria-pressed", String(held));
    this.kept.hidden = !held;
  }

  keep(seed) {
    this.input.value = String(seed);
    this.hold(true);
  }

  roll() {
    this.input.value = drawnSeed();
  }

  // The seed to use now; a new one first, unless it is held.
  next() {
    if (!this.held) this.roll();
    return this.value;
  }
}
