// Elements. Owns how they are found by their ids, and made out of words; knows nothing of what they are for.

// An element with attributes and children. A function is a listener of the event it is named for, `true` an
// attribute without a value; null and false leave one out. Text is text, never markup.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (name === "class") made.className = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// The element of the page that has this id.
export function part(id) {
  return document.getElementById(id);
}

let counted = 0;

// An id that nobody else has.
export function freshId(name) {
  counted += 1;
  return `${name}-${counted}`;
}

// Say something to those who listen instead of looking.
export function announce(words) {
  part("announcer").textContent = words;
}
