// The door to the service's HTTP API. Owns the key that goes along, and what a refusal is.

const KEY = "tarflow-key";
// Nobody answers, too much was asked, or a proxy or the service waits for somebody else.
const PASSING = [0, 429, 502, 503, 504];

// An answer that is not a result: what RFC 9457 tells of it, and when to come again.
export class Problem extends Error {
  constructor(status, body, retryAfterS = null) {
    super(body.detail ?? "No reason was given.");
    this.status = status;
    this.title = body.title ?? `Status ${status}`;
    this.fields = body.errors ?? [];
    this.retryAfterS = retryAfterS;
  }

  // Whether the same request may do better a little later.
  get passes() {
    return PASSING.includes(this.status);
  }
}

let held = remembered();

function remembered() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

export function apiKey() {
  return held;
}

export function keepApiKey(key) {
  held = key;
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // A browser that stores nothing keeps the key as long as the page.
  }
}

// Ask; the answer where it is a success. Raises Problem, with status 0 where nobody answers, and AbortError.
export async function ask(path, { query = {}, headers = {}, ...options } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  const authorization = apiKey() ? { Authorization: `Bearer ${apiKey()}` } : {};
  let answer;
  try {
    answer = await fetch(path + search, { ...options, headers: { ...authorization, ...headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "No answer", detail: "The service does not answer." }, 2);
  }
  if (answer.ok || answer.status === 304) return answer;
  throw await problemOf(answer);
}

async function problemOf(answer) {
  let body = {};
  try {
    body = await answer.json();
  } catch {
    // A proxy's page; the status says enough.
  }
  const after = Number(answer.headers.get("Retry-After"));
  return new Problem(answer.status, body, after > 0 ? after : null);
}

export async function askJson(path, options) {
  return (await ask(path, options)).json();
}
