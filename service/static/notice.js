// What went wrong, in words. Owns how a problem is shown; knows nothing of where it came from.

import { element, freshId } from "./element.js";

// Show a problem in an element, and beside the fields of a form that it names; the first of those has the focus.
export function showProblem(place, problem, form = null) {
  const marked = form ? problem.fields?.filter((each) => markField(form, each)) ?? [] : [];
  const title = problem.title ?? "Something went wrong";
  const all = marked.length && marked.length === problem.fields.length;
  const where = marked.length === 1 ? "See the field above." : `See the ${marked.length} fields above.`;
  place.replaceChildren(element("strong", {}, title), ` ${all ? where : problem.message}`);
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
  form?.querySelector("[aria-invalid]")?.focus();
}

export function clearProblem(place, form = null) {
  place.hidden = true;
  place.replaceChildren();
  for (const words of form?.querySelectorAll(".field-problem") ?? []) words.remove();
  for (const field of form?.querySelectorAll("[aria-invalid]") ?? []) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-errormessage");
  }
}

function markField(form, { field, message }) {
  const input = form.querySelector(`[name="${CSS.escape(field)}"]`);
  if (!input) return false;
  const words = element("p", { class: "field-problem", id: freshId("problem") }, message);
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-errormessage", words.id);
  (input.closest(".field") ?? input.parentElement).append(words);
  // A field that is folded away shows neither itself nor its problem.
  const fold = input.closest("details");
  if (fold) fold.open = true;
  return true;
}
