// The views of the page, one at a time. Owns which is shown, by the address's hash.

import { announce, part } from "./element.js";

const sections = () => [...document.querySelectorAll("main > section")];

// Show a view, as a click on its name would, but at once: what is told in it next is seen.
export function showView(name) {
  if (!part(name).hidden) return;
  history.pushState(null, "", `#${name}`);
  arrive();
}

export function startViews() {
  window.addEventListener("hashchange", arrive);
  show();
}

function arrive() {
  const title = show();
  window.scrollTo({ top: 0 });
  title.focus({ preventScroll: true });
  announce(title.textContent);
}

// The title of the view that is shown now: the first without a name in the address, and no other for a name that is no
// view's, as that of the way to the content.
function show() {
  const all = sections();
  const name = location.hash.slice(1) || all[0].id;
  const wanted = all.find((each) => each.id === name) ?? all.find((each) => !each.hidden);
  for (const section of all) section.hidden = section !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${wanted.id}`) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else {
      link.removeAttribute("aria-current");
    }
  }
  return wanted.querySelector("h2");
}
