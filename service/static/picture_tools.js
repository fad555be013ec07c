// What can be done with a picture. Owns its buttons; each passes a wish on or hands the picture out.

import { element } from "./element.js";
import { fileNameOf, sourceOf } from "./picture.js";
import { copy, curlOf, pythonOf } from "./snippet.js";
import { wish } from "./wishes.js";

// The buttons for a picture; `done` is called after those that lead elsewhere.
export function pictureTools(picture, done = () => {}) {
  const leading = (words, kind) => {
    const go = () => {
      done();
      wish(kind, picture);
    };
    return element("button", { type: "button", click: go }, words);
  };
  const copying = (words, text) =>
    element("button", { type: "button", click: (event) => copy(text(picture), event.currentTarget) }, words);
  return [
    element("a", { class: "button", href: sourceOf(picture), download: fileNameOf(picture) }, "Download"),
    leading("Make again", "again"),
    leading("Variations", "variations"),
    leading("Score this", "score"),
    leading("There and back", "back"),
    copying("Copy as curl", curlOf),
    copying("Copy as Python", pythonOf),
  ];
}
