// The service at a glance: a strip of numbers, and a banner where something is missing. Owns both.

import { apiKey } from "./api.js";
import { announce, element } from "./element.js";
import { openKeyDoor } from "./key_door.js";
import { standing } from "./standing.js";

const WORDS = {
  asking: "Looking for the service",
  ready: "Ready",
  partly: "Partly ready",
  late: "No answer; as last told",
  "no-worker": "No worker",
  "queue-away": "The queue is away",
  locked: "A key is needed",
  unreachable: "No answer",
};
const BANNERS = {
  "no-worker": "Nobody is there to work: workers take a moment to load a model, or to come back. This page goes on by itself.",
  "queue-away": "The queue cannot be reached. What was accepted is kept; this page goes on by itself once it is back.",
  unreachable: "The service does not answer. This page goes on by itself once it does.",
};

// `foot` holds both.
export function startStrip(foot, strip, banner) {
  const look = () => strip.replaceChildren(...cells());
  standing.addEventListener("look", look);
  standing.addEventListener("change", () => {
    look();
    strip.dataset.state = standing.state;
    const words = standing.state === "locked" ? [lockedWords(), keyButton()] : [BANNERS[standing.state] ?? ""];
    banner.replaceChildren(...words);
    banner.hidden = !BANNERS[standing.state] && standing.state !== "locked";
    // A banner is heard by itself.
    if (banner.hidden) announce(WORDS[standing.state] + missing());
  });
  // What else stays at the lower edge, stays above it.
  const measure = () => document.documentElement.style.setProperty("--foot", `${foot.offsetHeight}px`);
  new ResizeObserver(measure).observe(foot);
  look();
}

function lockedWords() {
  return apiKey() ? "The service does not know this key. " : "This service asks for an API key. ";
}

function keyButton() {
  return element("button", { type: "button", class: "link", click: openKeyDoor }, "Enter a key");
}

function cells() {
  const queues = standing.queues;
  const sum = (name) => queues.reduce((total, queue) => total + queue[name], 0);
  const state = element("span", { class: "state" }, WORDS[standing.state]);
  if (!queues.length) return [state];
  return [
    state,
    cell(sum("workers"), "worker", devices(queues)),
    cell(sum("queued"), "waiting", "jobs in the queues"),
    cell(sum("running"), "running", "jobs being worked on"),
    cell(Math.round(sum("images_per_minute")), "a minute", "images done in the last minute"),
    element("span", { class: "devices" }, devices(queues), missing()),
  ];
}

function cell(number, words, title) {
  const plural = words === "worker" && number !== 1 ? "workers" : words;
  return element("span", { title }, element("b", {}, String(number)), ` ${plural}`);
}

// What cannot be done now.
function missing() {
  const lacks = standing.state === "partly" ? standing.unmanned.map(({ kind, model }) => `${kind} with ${model}`) : [];
  return lacks.length ? `; nobody to ${lacks.join(", ")}` : "";
}

// `on cpu`; of several, `8 on cpu`, `2 on NVIDIA H100`.
function devices(queues) {
  const counted = {};
  for (const queue of queues) {
    for (const [device, workers] of Object.entries(queue.devices)) counted[device] = (counted[device] ?? 0) + workers;
  }
  const names = Object.keys(counted);
  if (names.length === 1) return `on ${names[0]}`;
  return Object.entries(counted)
    .map(([device, workers]) => `${workers} on ${device}`)
    .join(", ");
}
