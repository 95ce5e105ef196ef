// Text areas grow with their text: by CSS (field-sizing) where the browser knows it, else here.
(() => {
  if (CSS.supports("field-sizing", "content")) return;
  const fit = (area) => { area.style.blockSize = "auto"; area.style.blockSize = `${area.scrollHeight + 2}px`; };
  const all = (root) => { for (const area of root.querySelectorAll("textarea")) if (area.checkVisibility()) fit(area); };
  document.addEventListener("input", (event) => { if (event.target.matches("textarea")) fit(event.target); });
  document.addEventListener("htmx:afterSettle", (event) => all(event.target));
  document.addEventListener("DOMContentLoaded", () => all(document));
})();
