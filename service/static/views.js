// The views of the page, one at a time. Owns which is shown, by the address's hash.

import { announce } from "./element.js";

const sections = () => [...document.querySelectorAll("main > section")];

// Show a view, as a click on its name would.
export function showView(name) {
  location.hash = name;
}

export function startViews() {
  window.addEventListener("hashchange", () => {
    const title = show();
    window.scrollTo({ top: 0 });
    title.focus({ preventScroll: true });
    announce(title.textContent);
  });
  show();
}

// The title of the view that is shown now.
function show() {
  const name = location.hash.slice(1);
  const wanted = sections().find((section) => section.id === name) ?? sections()[0];
  for (const section of sections()) section.hidden = section !== wanted;
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
