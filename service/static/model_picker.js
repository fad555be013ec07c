// The choice of a model. Owns its list of options, as the catalogue has them.

import { catalogue } from "./catalogue.js";
import { element } from "./element.js";

// Fill a `select` with the models on offer; `changed` is called with the facts of the one that is chosen, or null.
export function modelPicker(select, changed, wanted = () => true) {
  const refill = () => {
    const chosen = select.value;
    const names = catalogue.models.filter(wanted).map((model) => model.name);
    select.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    if (names.includes(chosen)) select.value = chosen;
    changed(catalogue.facts(select.value));
  };
  catalogue.addEventListener("change", refill);
  select.addEventListener("change", () => changed(catalogue.facts(select.value)));
  refill();
}
