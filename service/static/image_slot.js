// A place for one image: dropped, pasted, chosen, or taken along from another view. Owns its picture and its file.

import { element, freshId } from "./element.js";

const TYPES = "image/png,image/jpeg,image/webp,image/bmp";

// The image files among what was dropped or pasted.
export function imageFiles(transfer) {
  return [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));
}

export class ImageSlot {
  file = null;
  #address = null;

  // In `container`, called `name`; `changed` is told when there is another image.
  constructor(container, name, changed) {
    this.changed = changed;
    const id = freshId("slot");
    this.input = element("input", { id, type: "file", accept: TYPES, class: "heard", change: () => this.take(this.input.files[0]) });
    this.shown = element("span", { class: "shown" }, "Drop, paste or choose");
    this.label = element("label", { for: id, class: "slot" }, element("span", { class: "name" }, name), this.shown);
    container.append(this.input, this.label);
    this.label.addEventListener("dragover", (event) => event.preventDefault());
    this.label.addEventListener("drop", (event) => {
      event.preventDefault();
      this.take(imageFiles(event.dataTransfer)[0]);
    });
  }

  take(file) {
    if (!file) return;
    this.file = file;
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = URL.createObjectURL(file);
    this.shown.replaceChildren(element("img", { src: this.#address, alt: file.name }));
    this.changed();
  }
}
