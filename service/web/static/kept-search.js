// The words looked for in this tab, until it is closed or its reader signs out.

const KEY = "penumbra-search";
let isOver = false;

export const keptSearch = () => sessionStorage.getItem(KEY) ?? "";

export function keepSearch(text) {
  if (text.trim() && !isOver) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

// For who signs out: what is being typed just then is not kept either.
export function forgetSearch() {
  isOver = true;
  keepSearch("");
}
