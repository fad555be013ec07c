// The choice of a class by its name, out of ten or a thousand. Owns a combobox with a list that is searched.

import { element, freshId } from "./element.js";

const MOST_SHOWN = 60;

// A field in `container`, whose label reads `label`; `extra` are choices beside the classes, `[value, name]`; `first`
// is the class that is chosen while nobody has.
export class ClassPicker {
  #options = [];
  #shown = [];
  #active = -1;
  #first;

  constructor(container, { label = "Class", extra = [["", "No class"]], first = null, changed = () => {} } = {}) {
    this.#first = first;
    this.extra = extra;
    this.changed = changed;
    const [inputId, listId] = [freshId("class"), freshId("classes")];
    this.list = element("ul", { id: listId, role: "listbox", "aria-label": label, hidden: true, class: "options" });
    this.input = element("input", {
      id: inputId,
      name: "class",
      role: "combobox",
      autocomplete: "off",
      spellcheck: "false",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": listId,
      input: () => this.#open(this.input.value),
      click: () => this.#open(""),
      focus: () => this.input.select(),
      blur: () => this.#close(),
      keydown: (event) => this.#key(event),
    });
    this.value = extra[0][0];
    container.classList.add("field", "picker");
    container.append(element("label", { for: inputId }, label), this.input, this.list);
    this.setFacts(null);
  }

  // Offer the classes of a model; `wanted` is chosen instead of what was.
  setFacts(facts, wanted = this.#first ?? this.value) {
    const count = facts?.num_classes ?? 0;
    const classes = Array.from({ length: count }, (_, index) => {
      const name = facts.class_names[index] ?? String(index);
      return [String(index), name === String(index) ? name : `${name} (${index})`];
    });
    this.#options = [...this.extra.filter(([value]) => count || value !== "all"), ...classes];
    this.choose(wanted);
    if (count) this.#first = null;
  }

  choose(value) {
    const found = this.#options.find(([each]) => each === String(value ?? "")) ?? this.#options[0];
    this.value = found?.[0] ?? "";
    this.input.value = found?.[1] ?? "";
    this.changed(this.value);
  }

  #open(search) {
    const words = search.trim().toLowerCase();
    this.#shown = this.#options.filter(([, name]) => name.toLowerCase().includes(words)).slice(0, MOST_SHOWN);
    this.list.replaceChildren(
      ...this.#shown.map(([value, name], index) =>
        element(
          "li",
          {
            id: `${this.list.id}-${index}`,
            role: "option",
            "aria-selected": String(value === this.value),
            // Before the blur that a click would cause.
            pointerdown: (event) => {
              event.preventDefault();
              this.#take(index);
            },
          },
          name,
        ),
      ),
    );
    if (!this.#shown.length) this.list.append(element("li", { role: "option", "aria-disabled": "true" }, "No such class"));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.#point(words ? 0 : this.#shown.findIndex(([value]) => value === this.value));
  }

  #close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.input.value = this.#options.find(([value]) => value === this.value)?.[1] ?? "";
  }

  #take(index) {
    if (this.#shown[index]) this.choose(this.#shown[index][0]);
    this.#close();
  }

  #point(index) {
    this.#active = index;
    for (const [place, item] of [...this.list.children].entries()) item.classList.toggle("active", place === index);
    const item = this.list.children[index];
    if (item?.id) {
      this.input.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    } else {
      this.input.removeAttribute("aria-activedescendant");
    }
  }

  #key(event) {
    const open = !this.list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return this.#open("");
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#point((this.#active + step + this.#shown.length) % Math.max(1, this.#shown.length));
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      this.#take(this.#active);
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      this.#close();
    }
    return undefined;
  }
}
