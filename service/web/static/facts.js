// Lists and tables of facts, as text.

import { element } from "./elements.js";

export function fact(name, value, className = "") {
  const made = element("div");
  made.append(element("dt", "", name), element("dd", className, value));
  return made;
}

// Name -> value; empty ones are left out.
export function facts(named) {
  const list = element("dl", "facts");
  list.append(...Object.entries(named).filter(([, value]) => value).map(([name, value]) => fact(name, value)));
  return list;
}

export function table(caption, columns, rows) {
  const made = element("table", "figures");
  made.append(element("caption", "", caption));
  const head = made.createTHead().insertRow();
  for (const column of columns) {
    const cell = element("th", "", column);
    cell.scope = "col";
    head.append(cell);
  }
  const body = made.createTBody();
  for (const row of rows) body.insertRow().append(...row.map((text) => element("td", "", text)));
  const scroll = element("div", "scroll");
  scroll.append(made);
  return scroll;
}
