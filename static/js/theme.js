// Runs before the first paint, so that neither theme nor left bar jumps. Stored per browser.
(() => {
  const root = document.documentElement;
  const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const store = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private mode */ } };

  root.classList.add("js");
  const theme = stored("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const bar = stored("bar");
  if (bar === "icons" || bar === "wide") root.dataset.bar = bar;

  const showTheme = () => {
    for (const button of document.querySelectorAll("[data-theme-set]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeSet === (root.dataset.theme ?? "system")));
    }
  };
  document.addEventListener("DOMContentLoaded", showTheme);

  document.addEventListener("click", (event) => {
    const themeButton = event.target.closest("[data-theme-set]");
    if (themeButton) {
      const chosen = themeButton.dataset.themeSet;
      if (chosen === "system") delete root.dataset.theme; else root.dataset.theme = chosen;
      store("theme", chosen);
      showTheme();
    }
    if (event.target.closest("[data-bar-toggle]")) {
      const narrow = matchMedia("(width < 64rem)").matches;
      const icons = root.dataset.bar ? root.dataset.bar === "icons" : narrow;
      root.dataset.bar = icons ? "wide" : "icons";
      store("bar", root.dataset.bar);
    }
  });
})();
