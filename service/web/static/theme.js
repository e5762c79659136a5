// Dark unless this browser was told otherwise. A plain script in the head, so that no page flashes in the wrong colours.

(() => {
  const KEY = "penumbra-theme";
  const root = document.documentElement;
  root.dataset.theme = localStorage.getItem(KEY) === "light" ? "light" : "dark";

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => {
      const other = root.dataset.theme === "dark" ? "Light" : "Dark";
      button.textContent = other;
      button.setAttribute("aria-label", `${other} colours`);
    };
    button.addEventListener("click", () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      localStorage.setItem(KEY, root.dataset.theme);
      name();
    });
    name();
    button.hidden = false;
  });
})();
