// Several scores as a table that can be sorted and taken away. Owns its columns, their order, and the CSV.

import { element } from "./element.js";
import { inWords, likeliestClass } from "./score_words.js";

const COLUMNS = [
  ["Image", (result) => result.file.name],
  ["Nats", (result) => result.log_likelihood_nats, (result) => inWords(result.log_likelihood_nats, 1)],
  ["Bits/dim", (result) => result.bits_per_dim, (result) => inWords(result.bits_per_dim, 3)],
  ["p-value", (result) => result.p_value, (result) => inWords(result.p_value, 4)],
  ["Verdict", (result) => result.is_anomaly, (result) => verdict(result)],
  ["Class", (result) => likeliestClass(result)?.class_name ?? null, (result) => likeliestClass(result)?.class_name ?? ""],
];
const TAKEN = ["log_likelihood_nats", "bits_per_dim", "log_prior_nats", "log_abs_det_nats", "density"];
const JUDGED = ["anomaly_score", "percentile", "p_value", "is_anomaly", "direction", "alpha", "complexity_bits_per_dim"];

// The table of some results; `look` is called with the one that is chosen, at first `chosen`.
export function scoreTable(results, look, chosen) {
  return new Table([...results], look, chosen).element;
}

class Table {
  #body = element("tbody");
  #heads;
  #chosen;

  constructor(results, look, chosen) {
    Object.assign(this, { results, look });
    this.#chosen = chosen;
    this.#heads = COLUMNS.map(([name, value], index) =>
      element("th", { scope: "col" }, element("button", { type: "button", click: () => this.#sort(index, value) }, name)),
    );
    this.#draw();
  }

  get element() {
    const take = element("button", { type: "button", class: "link", click: () => download(csvOf(this.results)) }, "Download CSV");
    const count = element("b", {}, `${this.results.length} images`);
    const caption = element("caption", {}, element("span", { class: "row" }, count, take));
    const head = element("thead", {}, element("tr", {}, element("td"), ...this.#heads));
    const place = { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores" };
    return element("div", place, element("table", {}, caption, head, this.#body));
  }

  #sort(column, value) {
    const head = this.#heads[column];
    const rising = head.getAttribute("aria-sort") !== "ascending";
    for (const each of this.#heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    this.results.sort((one, other) => compared(value(one), value(other), rising ? 1 : -1));
    this.#draw();
  }

  #choose(result) {
    this.#chosen = result;
    this.look(result);
    for (const [index, row] of [...this.#body.rows].entries()) row.classList.toggle("chosen", this.results[index] === result);
  }

  #draw() {
    this.#body.replaceChildren(...this.results.map((result) => this.#row(result)));
  }

  #row(result) {
    const { name } = result.file;
    const link = element("button", { type: "button", class: "link", title: name, click: () => this.#choose(result) }, name);
    const cells = COLUMNS.slice(1).map(([heading, , words]) =>
      element("td", { class: heading === "Verdict" && result.is_anomaly ? "bad" : "" }, words(result)),
    );
    const picture = element("td", {}, element("img", { src: result.address, alt: "" }));
    return element("tr", { class: result === this.#chosen ? "chosen" : "" }, picture, element("td", {}, link), ...cells);
  }
}

function verdict(result) {
  if (result.is_anomaly === null || result.is_anomaly === undefined) return "";
  return result.is_anomaly ? inWords(result.direction) || "unusual" : "usual";
}

// What is not there comes last, whichever the direction: 1 rises, -1 falls.
function compared(one, other, direction) {
  const [lacks, alsoLacks] = [one === null || one === undefined, other === null || other === undefined];
  if (lacks || alsoLacks) return Number(lacks) - Number(alsoLacks);
  const isText = typeof one === "string";
  return direction * (isText ? one.localeCompare(other, undefined, { numeric: true }) : Number(one) - Number(other));
}

function csvOf(results) {
  const names = [...TAKEN, ...JUDGED];
  const rows = results.map((result) => [
    result.file.name,
    ...names.map((name) => result[name] ?? ""),
    likeliestClass(result)?.class_name ?? "",
    (result.warnings ?? []).join("; "),
  ]);
  return [["image", ...names, "likeliest_class", "warnings"], ...rows].map((row) => row.map(cell).join(",")).join("\n");
}

// A cell of a CSV. Text that a spreadsheet would take for a formula becomes text to it, too.
function cell(value) {
  const text = typeof value === "string" ? value.replace(/^[=+\-@\t\r]/, "'$&") : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(text) {
  const address = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }));
  element("a", { href: address, download: "tarflow-scores.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
