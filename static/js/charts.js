// Charts: one tab stop per chart with arrow keys between its marks, and the mark's title below it.
// Without script every mark is a link of its own, and the browser shows its title.
(() => {
  "use strict";
  const KEYS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  const marksOf = (chart) => [...chart.querySelectorAll("a.mark[href]")];

  function prepare(root) {
    for (const chart of root.querySelectorAll("[data-chart]")) {
      const marks = marksOf(chart);
      marks.forEach((mark, n) => mark.setAttribute("tabindex", n === marks.length - 1 ? "0" : "-1"));
      const note = chart.querySelector(".chart-note");
      if (note) note.dataset.note = note.textContent;
    }
  }

  function show(event) {
    const chart = event.target.closest?.("[data-chart]");
    const note = chart?.querySelector(".chart-note");
    if (!note) return;
    const title = event.target.closest(".mark, .reference")?.querySelector("title");
    note.textContent = title ? title.textContent.replaceAll("\n", " · ") : note.dataset.note || "";
  }

  function move(event) {
    const mark = event.target.closest?.("[data-chart] a.mark[href]");
    const marks = mark ? marksOf(mark.closest("[data-chart]")) : [];
    const here = marks.indexOf(mark);
    const to = { Home: 0, End: marks.length - 1 }[event.key] ?? here + KEYS[event.key];
    if (!mark || !marks[to]) return;
    event.preventDefault();
    mark.setAttribute("tabindex", "-1");
    marks[to].setAttribute("tabindex", "0");
    marks[to].focus();
  }

  document.addEventListener("DOMContentLoaded", () => prepare(document));
  document.addEventListener("htmx:load", (event) => prepare(event.target));
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, show);
  document.addEventListener("keydown", move);

  document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) window.print(); });

  // A tile that didn't load says so in its place, with a way to its own page.
  for (const kind of ["htmx:responseError", "htmx:sendError", "htmx:timeout"])
    document.addEventListener(kind, (event) => {
      const tile = event.target.closest?.(".tile-wait");
      if (!tile) return;
      tile.classList.add("failed");
      tile.querySelector(".tile-error").hidden = false;
    });
})();
