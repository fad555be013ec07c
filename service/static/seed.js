// The seed of a picture: drawn, kept, or drawn anew before each. Owns its field, its dice, and its lock where it has one.

export class Seed {
  // `kept` are words that are shown while it is held; without a lock it always is.
  constructor(input, dice, { lock = null, kept = null } = {}) {
    Object.assign(this, { input, lock, kept });
    dice.addEventListener("click", () => this.roll());
    lock?.addEventListener("click", () => this.hold(!this.held));
    // Whoever types a seed means it.
    input.addEventListener("input", () => this.hold(true));
    this.hold(false);
    this.roll();
  }

  get held() {
    return !this.lock || this.lock.getAttribute("aria-pressed") === "true";
  }

  get value() {
    return this.input.value.trim();
  }

  hold(held) {
    this.lock?.setAttribute("aria-pressed", String(held));
    if (this.kept) this.kept.hidden = !held;
  }

  keep(seed) {
    this.input.value = String(seed);
    this.hold(true);
  }

  roll() {
    // One that nobody has asked for yet, short enough to be told.
    this.input.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  }

  // The seed to use now; a new one first, unless one is held.
  next() {
    if (!this.held || !this.value) this.roll();
    return this.value;
  }
}
