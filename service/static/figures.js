// What is shown with words beside or under it. Owns two forms of it.

import { element } from "./element.js";

// Something with a caption.
export function figure(shown, words) {
  return element("figure", {}, shown, element("figcaption", {}, words));
}

// Names and what they come to; those that come to nothing are left out.
export function pairs(all) {
  const told = all.filter(([, value]) => value);
  return element("dl", {}, ...told.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}
