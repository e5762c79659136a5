// The bundles page: what is installed.

import { getJson } from "./api.js";
import { element } from "./elements.js";
import { enter } from "./shell.js";

const byId = (id) => document.getElementById(id);

function item(bundle) {
  const made = element("li", "panel");
  made.append(element("h2", "", `${bundle.name} ${bundle.version}`));
  if (bundle.notice) made.append(element("p", "notice", bundle.notice));
  made.append(element("p", "hint", `Intended use: ${bundle.intended_use || "not declared"}`));
  made.append(element("p", "hint", `Networks: ${bundle.networks.join(", ")}`));
  return made;
}

enter(async () => {
  const { bundles } = await getJson("/api/v1/bundles");
  byId("bundles").replaceChildren(...bundles.map(item));
  byId("bundles-note").textContent = bundles.length ? "" : "No bundle is installed.";
});
