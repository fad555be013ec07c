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

// The table of some results; `look` is called with the one that is chosen.
export function scoreTable(results, look) {
  const body = element("tbody");
  const heads = COLUMNS.map(([name, value]) =>
    element("th", { scope: "col" }, element("button", { type: "button", click: () => sort(name, value) }, name)),
  );
  let chosen = results[0];

  function sort(name, value) {
    const head = heads[COLUMNS.findIndex((column) => column[0] === name)];
    const rising = head.getAttribute("aria-sort") !== "ascending";
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    results.sort((one, other) => (rising ? 1 : -1) * compared(value(one), value(other)));
    draw();
  }

  function draw() {
    body.replaceChildren(...results.map((result) => row(result)));
  }

  function row(result) {
    const choose = () => {
      chosen = result;
      look(result);
      draw();
    };
    const name = element("button", { type: "button", class: "link", title: result.file.name, click: choose }, result.file.name);
    const cells = COLUMNS.slice(1).map(([heading, , words]) =>
      element("td", { class: heading === "Verdict" && result.is_anomaly ? "bad" : "" }, words(result)),
    );
    return element(
      "tr",
      { class: result === chosen ? "chosen" : "" },
      element("td", {}, element("img", { src: result.address, alt: "" })),
      element("td", {}, name),
      ...cells,
    );
  }

  draw();
  const take = element("button", { type: "button", class: "link", click: () => download(csvOf(results)) }, "Download CSV");
  const caption = element("caption", {}, element("span", { class: "row" }, element("b", {}, `${results.length} images`), take));
  const head = element("thead", {}, element("tr", {}, element("td"), ...heads));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Scores" }, element("table", {}, caption, head, body));
}

function verdict(result) {
  if (result.is_anomaly === null || result.is_anomaly === undefined) return "";
  return result.is_anomaly ? inWords(result.direction) || "unusual" : "usual";
}

// What is not there comes last.
function compared(one, other) {
  const [lacks, alsoLacks] = [one === null || one === undefined, other === null || other === undefined];
  if (lacks || alsoLacks) return Number(lacks) - Number(alsoLacks);
  return typeof one === "string" ? one.localeCompare(other, undefined, { numeric: true }) : Number(one) - Number(other);
}

export function csvOf(results) {
  const names = [...TAKEN, ...JUDGED];
  const rows = results.map((result) => [
    // A spreadsheet would take such a name for a formula.
    result.file.name.replace(/^[=+\-@]/, "'$&"),
    ...names.map((name) => result[name] ?? ""),
    likeliestClass(result)?.class_name ?? "",
    (result.warnings ?? []).join("; "),
  ]);
  const quoted = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return [["image", ...names, "likeliest_class", "warnings"], ...rows].map((row) => row.map(quoted).join(",")).join("\n");
}

function download(text) {
  const address = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }));
  element("a", { href: address, download: "tarflow-scores.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
