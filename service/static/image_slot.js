// A place for one image: dropped, pasted, chosen, or taken along from another view. Owns its picture and its file.

import { element, freshId } from "./element.js";

const TYPES = "image/png,image/jpeg,image/webp,image/bmp";

// The image files among what was dropped or pasted.
export function imageFiles(transfer) {
  return [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));
}

export class ImageSlot {
  file = null;
  // Where `img` finds it; another for each image.
  address = null;

  // In `container`, called `name`; `changed` is told when there is another image, or none.
  constructor(container, name, changed) {
    Object.assign(this, { name, changed });
    const id = freshId("slot");
    this.input = element("input", { id, type: "file", accept: TYPES, class: "heard", change: () => this.#chosen() });
    this.shown = element("span", { class: "shown" });
    this.label = element("label", { for: id, class: "slot" }, element("span", { class: "name" }, name), this.shown);
    const words = { "aria-label": `Remove the ${name.toLowerCase()}`, title: "Remove" };
    this.remove = element("button", { type: "button", class: "icon remove", ...words, click: () => this.#empty() }, "×");
    container.append(this.input, this.label, this.remove);
    this.label.addEventListener("dragover", (event) => event.preventDefault());
    this.label.addEventListener("drop", (event) => {
      event.preventDefault();
      this.take(imageFiles(event.dataTransfer)[0]);
    });
    this.#draw();
  }

  take(file) {
    if (!file) return;
    this.#hold(file);
    this.changed();
  }

  #chosen() {
    const [file] = this.input.files;
    // The same file can be chosen again.
    this.input.value = "";
    this.take(file);
  }

  #empty() {
    this.#hold(null);
    this.input.focus();
    this.changed();
  }

  #hold(file) {
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = file && URL.createObjectURL(file);
    this.file = file;
    this.#draw();
  }

  #draw() {
    this.remove.hidden = !this.file;
    this.shown.replaceChildren(
      this.file ? element("img", { src: this.address, alt: this.file.name }) : "Drop, paste or choose",
    );
  }
}
