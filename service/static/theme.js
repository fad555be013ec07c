// The theme: as the system has it, light, or dark. Owns the attribute `data-theme` and its memory.
// No module: it runs before the first paint, so that nothing flashes.
(() => {
  const KEY = "tarflow-theme";
  const ORDER = ["auto", "light", "dark"];
  const NAMES = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

  function remembered() {
    try {
      return localStorage.getItem(KEY) ?? "auto";
    } catch {
      return "auto";
    }
  }

  function wear(theme) {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) {
      button.setAttribute("aria-label", NAMES[theme]);
      button.title = NAMES[theme];
    }
  }

  wear(ORDER.includes(remembered()) ? remembered() : "auto");
  document.addEventListener("DOMContentLoaded", () => {
    wear(document.documentElement.dataset.theme);
    document.getElementById("theme").addEventListener("click", () => {
      const next = ORDER[(ORDER.indexOf(document.documentElement.dataset.theme) + 1) % ORDER.length];
      wear(next);
      try {
        localStorage.setItem(KEY, next);
      } catch {
        // A browser that keeps nothing keeps no theme either.
      }
    });
  });
})();
