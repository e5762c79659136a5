// Elements are made here, and what comes from the service goes into them as text only.

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// A button that waits for what it does; `told` is called with what went wrong, or with "".
export function button(text, label, action, { className = "plain", told = () => {} } = {}) {
  const made = element("button", className, text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      told("");
      await action();
    } catch (error) {
      told(error.message);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}
