// The choice of a class by its name, out of ten or a thousand. Owns a combobox with a list that is searched.

import { announce, element, freshId } from "./element.js";

// More classes than this are counted beside the field.
const FEW = 20;
const PAGE = 10;
export const NO_CLASS = { value: "", name: "No class", label: "No class" };
export const EVERY_CLASS = { value: "all", name: "Every class", label: "Every class" };

// A field in `container`, whose label reads `label`; `extra` are choices beside the classes; `first` is the class that
// is chosen while nobody has; `changed` is told when somebody chooses another.
export class ClassPicker {
  #options = [];
  #shown = [];
  #active = -1;
  // What was chosen, offered at the moment or not; null while nothing was.
  #wish = null;
  #pointed = false;
  // Where the focus went when what was typed was refused.
  #towards = null;

  constructor(container, { label = "Class", extra = [NO_CLASS], first = "", changed = () => {} } = {}) {
    Object.assign(this, { extra, first, changed });
    const [inputId, listId, refusalId] = [freshId("class"), freshId("classes"), freshId("no-class")];
    this.list = element("ul", { id: listId, role: "listbox", "aria-label": label, hidden: true, class: "options" });
    // The focus stays in the field.
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => this.#press(event));
    this.input = element("input", {
      id: inputId,
      name: "class",
      role: "combobox",
      autocomplete: "off",
      spellcheck: "false",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": listId,
      "aria-describedby": refusalId,
      input: () => this.#open(this.input.value),
      click: () => this.#open(""),
      focus: () => this.input.select(),
      blur: (event) => this.#leave(event.relatedTarget),
      keydown: (event) => this.#key(event),
    });
    this.count = element("span", { class: "hint" });
    this.refusal = element("p", { id: refusalId, class: "refusal" });
    container.classList.add("field", "picker");
    container.append(element("div", { class: "row" }, element("label", { for: inputId }, label), this.count));
    container.append(this.input, this.list, this.refusal);
    this.setFacts(null);
  }

  get value() {
    return this.chosen?.value ?? "";
  }

  // Offer the classes of a model; what was chosen stays where there is a class of that name.
  setFacts(facts) {
    const classes = Array.from({ length: facts?.num_classes ?? 0 }, (_, index) => {
      const [value, name] = [String(index), facts.class_names[index] ?? String(index)];
      return { value, name, label: name === value ? name : `${name} (${index})` };
    });
    this.total = classes.length;
    this.#options = [...this.extra.filter((each) => classes.length || each !== EVERY_CLASS), ...classes];
    const named = this.#wish && this.#options.find((each) => each.name === this.#wish.name);
    this.#show(named ?? this.#of(this.first) ?? this.#options[0]);
    this.#number("");
  }

  // Choose a class by its index, or none by null; whether there is such a one.
  choose(index) {
    const found = this.#of(String(index ?? ""));
    if (found) this.#show((this.#wish = found));
    return Boolean(found);
  }

  // Whether the press of a button found a class refused: it is for whoever pressed to look at what stays.
  wasRefused(button) {
    return Boolean(button && button === this.#towards && this.refusal.textContent);
  }

  #of(value) {
    return this.#options.find((each) => each.value === value);
  }

  #show(option) {
    this.chosen = option;
    this.input.value = option?.label ?? "";
    this.refusal.textContent = "";
  }

  // Somebody chooses.
  #take(option) {
    const other = option.value !== this.value;
    this.#wish = option;
    this.#show(option);
    this.#close();
    if (other) this.changed();
  }

  #open(search) {
    const words = search.trim().toLowerCase();
    this.#shown = found(this.#options, words);
    const items = this.#shown.map(({ value, label }, place) => {
      const selected = String(value === this.value);
      return element("li", { id: `${this.list.id}-${place}`, role: "option", "aria-selected": selected }, label);
    });
    const none = element("li", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, "No such class");
    this.list.replaceChildren(...(items.length ? items : [none]));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.refusal.textContent = "";
    this.#number(words);
    this.#pointed = false;
    this.#point(words && items.length ? 0 : this.#shown.findIndex(({ value }) => value === this.value));
  }

  #close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.input.value = this.chosen?.label ?? "";
    this.#number("");
  }

  #leave(towards) {
    if (this.list.hidden) return;
    this.#towards = towards;
    // Of this press alone, which may come to nothing: the refusal may move the button away from under the pointer.
    for (const type of ["pointerdown", "keydown"]) {
      window.addEventListener(type, () => (this.#towards = null), { capture: true, once: true });
    }
    this.#settle(this.#pointed ? this.#shown[this.#active] : meant(this.#options, this.input.value));
  }

  // What was typed or pointed at is chosen; what means nothing is refused in words, and what was chosen stays.
  #settle(option) {
    if (option) return this.#take(option);
    const typed = this.input.value.trim();
    this.#close();
    if (!this.chosen) return undefined;
    const why = typed ? `“${typed}” is no class of this model` : "A class is needed";
    this.refusal.textContent = `${why}: it stays ${this.chosen.label}.`;
    announce(this.refusal.textContent);
    return undefined;
  }

  // How many classes there are to choose from, where one cannot see it.
  #number(words) {
    const [total, shown] = [this.total, this.#shown.filter((each) => !this.extra.includes(each)).length];
    const all = `${total.toLocaleString("en")} classes`;
    this.count.textContent = words ? `${shown.toLocaleString("en")} of ${all}` : total > FEW ? all : "";
  }

  #press(event) {
    const option = this.#shown[[...this.list.children].indexOf(event.target)];
    if (option) this.#take(option);
  }

  #point(place) {
    this.list.children[this.#active]?.classList.remove("active");
    this.#active = place;
    const item = this.list.children[place];
    item?.classList.add("active");
    item?.scrollIntoView({ block: "nearest" });
    if (item) this.input.setAttribute("aria-activedescendant", item.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  // Go on in the list by so many places: by one past its ends, by more up to them.
  #step(by) {
    const last = this.#shown.length - 1;
    if (last < 0) return;
    const next = this.#active < 0 ? (by > 0 ? 0 : last) : this.#active + by;
    this.#pointed = true;
    if (Math.abs(by) === 1) this.#point((next + last + 1) % (last + 1));
    else this.#point(Math.max(0, Math.min(last, next)));
  }

  #key(event) {
    const open = !this.list.hidden;
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE }[event.key];
    if (by) {
      event.preventDefault();
      if (open) this.#step(by);
      else this.#open("");
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      this.#settle(this.#shown[this.#active] ?? meant(this.#options, this.input.value));
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      this.#close();
    }
  }
}

// The options in which these words occur: first the one that they name, then those that begin with them.
function found(options, words) {
  if (!words) return options;
  const named = meant(options, words);
  const rank = (option) => (option === named ? 0 : option.name.toLowerCase().startsWith(words) ? 1 : 2);
  const all = options.filter(({ label }) => label.toLowerCase().includes(words));
  return [0, 1, 2].flatMap((wanted) => all.filter((each) => rank(each) === wanted));
}

// The option that a text names, by its name before its index; no text means no class, where that is offered.
function meant(options, text) {
  const words = text.trim().toLowerCase();
  const by = (read) => options.find((option) => read(option) === words);
  return by(({ name }) => name.toLowerCase()) ?? by(({ label }) => label.toLowerCase()) ?? by(({ value }) => value);
}
