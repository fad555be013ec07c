// A request as others would make it: with curl, with Python. Owns the text, and the way to the clipboard.

import { apiKey } from "./api.js";
import { announce } from "./element.js";
import { fileNameOf, queryOf } from "./picture.js";

export function curlOf(picture) {
  const given = Object.entries(queryOf(picture)).filter(([, value]) => value !== null && value !== undefined);
  const key = apiKey() ? ' -H "Authorization: Bearer $TARFLOW_KEY"' : "";
  return `curl -X POST "${location.origin}/generate?${new URLSearchParams(given)}"${key} -o ${fileNameOf(picture)}`;
}

export function pythonOf(picture) {
  const { class: index, ...query } = queryOf(picture);
  const words = { true: "True", false: "False" };
  const written = Object.entries(query).map(
    ([name, value]) => `${name}=${typeof value === "string" ? JSON.stringify(value) : words[value] ?? value}`,
  );
  const wanted = [...(index === null ? [] : [`"${index}"`]), ...written].join(", ");
  const key = apiKey() ? ', api_key=os.environ["TARFLOW_KEY"]' : "";
  return `${key ? "import os\n" : ""}from pathlib import Path

from service.client import Client

with Client("${location.origin}"${key}) as tarflow:
    (picture,) = tarflow.generate(${wanted})
    Path("${fileNameOf(picture)}").write_bytes(picture.png)
`;
}

// Put text on the clipboard, and say so on the button that was pressed.
export async function copy(text, button) {
  const before = (button.dataset.words ??= button.textContent);
  const copied = (await modernCopy(text)) || oldCopy(text, button);
  button.textContent = copied ? "Copied" : "Could not copy";
  announce(button.textContent);
  setTimeout(() => {
    button.textContent = before;
  }, 1500);
}

async function modernCopy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

// Where the page is served without TLS, browsers have no other clipboard.
function oldCopy(text, near) {
  const area = document.createElement("textarea");
  area.value = text;
  near.after(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  near.focus();
  return copied;
}
