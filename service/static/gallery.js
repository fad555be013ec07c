// The gallery: every picture of this browser, and a close look at one. Owns the grid and the dialog.

import { announce, element, part } from "./element.js";
import { pairs } from "./figures.js";
import { imageOf, settingsOf, titleOf } from "./picture.js";
import { pictureTools } from "./picture_tools.js";
import { MOST_KEPT, Shelf } from "./shelf.js";
import { heed } from "./wishes.js";

const shelf = new Shelf();

export async function startGallery() {
  heed("made", keep);
  heed("look", look);
  part("gallery-clear").addEventListener("click", () => part("sure").showModal());
  part("sure").addEventListener("close", clear);
  part("detail").addEventListener("click", (event) => {
    if (event.target === part("detail")) part("detail").close();
  });
  await shelf.open();
  draw();
  // Another tab may have added to it.
  document.addEventListener("visibilitychange", async () => {
    if (document.hidden) return;
    await shelf.load();
    draw();
  });
}

async function keep(pictures) {
  await shelf.add(pictures);
  draw();
}

async function clear() {
  if (part("sure").returnValue !== "yes") return;
  await shelf.clear();
  draw();
  announce("The gallery is empty");
}

function draw() {
  const count = shelf.pictures.length;
  part("gallery-empty").hidden = count > 0;
  part("gallery-clear").hidden = count === 0;
  part("gallery-count").textContent = countWords(count);
  const grid = part("gallery-grid");
  const wanted = new Set(shelf.pictures.map(({ id }) => id));
  for (const item of [...grid.children]) if (!wanted.has(item.dataset.id)) item.remove();
  const there = new Map([...grid.children].map((item) => [item.dataset.id, item]));
  // What stays where it is keeps the focus.
  shelf.pictures.forEach((picture, place) => {
    const item = there.get(picture.id) ?? itemOf(picture);
    if (grid.children[place] !== item) grid.insertBefore(item, grid.children[place] ?? null);
  });
}

function countWords(count) {
  if (!shelf.keeps) return `${count} here; new ones are not kept: this browser does not store them`;
  if (count >= MOST_KEPT) return `${count} kept in this browser, as many as there can be: the oldest give way`;
  return count ? `${count} kept in this browser` : "";
}

function itemOf(picture) {
  const title = titleOf(picture);
  const press = { type: "button", "aria-label": title, title, click: () => look(picture) };
  const item = element("li", {}, element("button", press, imageOf(picture, { alt: "", loading: "lazy" })));
  item.dataset.id = picture.id;
  return item;
}

function look(picture) {
  const dialog = part("detail");
  dialog.onkeydown = ({ key }) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[key];
    const next = by && shelf.pictures[shelf.pictures.findIndex((each) => each.id === picture.id) + by];
    if (next) look(next);
  };
  dialog.replaceChildren(
    imageOf(picture, { class: "large", draggable: null }),
    factsOf(picture, () => dialog.close()),
  );
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("h2").focus();
}

function factsOf(picture, close) {
  const remove = async () => {
    close();
    const place = shelf.pictures.findIndex((each) => each.id === picture.id);
    await shelf.remove(picture);
    draw();
    const rest = part("gallery-grid").querySelectorAll("button");
    (rest[Math.min(place, rest.length - 1)] ?? part("generate-title")).focus();
    announce("Removed");
  };
  const hold = async () => {
    await keep([picture]);
    look(picture);
    announce("Kept");
  };
  const kept = shelf.pictures.some((each) => each.id === picture.id);
  return element(
    "div",
    { class: "facts" },
    element("h2", { tabindex: "-1", autofocus: true }, titleOf(picture)),
    pairs(settingsOf(picture)),
    element(
      "div",
      { class: "toolbar" },
      ...pictureTools(picture, close),
      element("button", { type: "button", click: kept ? remove : hold }, kept ? "Remove" : "Keep"),
      element("button", { type: "button", click: close }, "Close"),
    ),
  );
}
