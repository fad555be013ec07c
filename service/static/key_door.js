// Where an API key is entered. Owns its dialog; the key is kept for this tab alone.

import { apiKey, keepApiKey } from "./api.js";
import { part } from "./element.js";
import { standing } from "./standing.js";

export function openKeyDoor() {
  const door = part("key-door");
  door.querySelector("input").value = apiKey();
  door.showModal();
}

export function startKeyDoor() {
  const door = part("key-door");
  part("key").addEventListener("click", openKeyDoor);
  door.querySelector("form").addEventListener("submit", () => {
    keepApiKey(door.querySelector("input").value.trim());
    standing.look();
  });
  door.querySelector("[data-forget]").addEventListener("click", () => {
    keepApiKey("");
    door.close();
    standing.look();
  });
  door.querySelector("[data-close]").addEventListener("click", () => door.close());
}
