// details.menu: arrows move, Escape and a click elsewhere close it. Without script it still opens.
(() => {
  const entries = (menu) => [...menu.querySelectorAll(".menu-pop :is(a, button, input, select, [tabindex='0'])")].filter((entry) => entry.checkVisibility());
  const close = (menu) => { menu.open = false; };

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      const chosen = event.target.closest?.(".menu-item:not([data-stay])");
      if (!menu.contains(event.target) || (chosen && menu.contains(chosen))) close(menu);
    }
  });

  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.("details.menu");
    if (!menu) return;
    if (event.key === "Escape" && menu.open) {
      event.preventDefault();
      event.stopPropagation();
      close(menu);
      menu.querySelector("summary").focus();
      return;
    }
    if (event.target.matches("input:not([type=checkbox], [type=radio]), select, textarea")) return;
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    if (!menu.open) menu.open = true;
    const all = entries(menu);
    if (!all.length) return;
    const step = event.key === "ArrowDown" ? 1 : -1;
    const at = all.indexOf(document.activeElement);
    all[at < 0 ? (step > 0 ? 0 : all.length - 1) : (at + step + all.length) % all.length].focus();
  });

  // Tab out of an open menu closes it, so it never covers what has the focus.
  document.addEventListener("focusin", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) close(menu);
  });

  // What a menu asked the server for gets the focus, where a key opened it.
  document.addEventListener("htmx:afterSettle", (event) => {
    const summary = document.activeElement;
    if (!summary?.matches("details.menu[open] > summary:focus-visible") || !summary.parentElement.contains(event.target)) return;
    summary.parentElement.querySelector(".menu-pop form :is(input:not([type=hidden]), select, textarea, button):not([hidden])")?.focus();
  });

  // A swap that takes the focused control away leaves the focus where the next filter is added.
  let held = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    held = event.detail.target.contains(document.activeElement) ? event.detail.target.id : null;
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (held && document.activeElement === document.body) document.getElementById(held)?.querySelector("[data-key='f']")?.focus();
    held = null;
  });
})();
