// A place for one image: dropped, pasted, chosen, or taken along from another view. Owns its picture and its file.

import { element, freshId } from "./element.js";

const TYPES = "image/png,image/jpeg,image/webp,image/bmp";

export function isImage(file) {
  return file.type.startsWith("image/");
}

// The image files among what was pasted.
export function imageFiles(transfer) {
  return [...(transfer?.files ?? [])].filter(isImage);
}

// Give the files that are dropped on `place` to `take`.
export function takeDrops(place, take) {
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
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
    this.refusal = element("p", { class: "refusal", role: "alert" });
    this.shown = element("span", { class: "shown" });
    this.label = element("label", { for: id, class: "slot" }, element("span", { class: "name" }, name), this.shown);
    const words = { "aria-label": `Remove the ${name.toLowerCase()}`, title: "Remove" };
    this.remove = element("button", { type: "button", class: "icon remove", ...words, click: () => this.#empty() }, "×");
    container.append(this.input, this.label, this.remove, this.refusal);
    takeDrops(this.label, (files) => this.#among(files));
    this.#draw();
  }

  take(file) {
    if (!file) return;
    this.#hold(file);
    this.changed();
  }

  #chosen() {
    const files = [...this.input.files];
    // The same file can be chosen again.
    this.input.value = "";
    this.#among(files);
  }

  // Take the first image of several files, and say what becomes of the others.
  #among(files) {
    const [image] = files.filter(isImage);
    this.take(image);
    if (!image && files.length) this.refusal.textContent = `${files[0].name} is no image.`;
    else if (files.length > 1) this.refusal.textContent = `Of ${files.length} files only ${image.name} is taken.`;
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
    this.refusal.textContent = "";
    this.#draw();
  }

  #draw() {
    this.remove.hidden = !this.file;
    this.shown.replaceChildren(
      this.file ? element("img", { src: this.address, alt: this.file.name }) : "Drop, paste or choose",
    );
  }
}
