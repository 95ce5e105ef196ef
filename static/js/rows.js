// Selection of rows. Inside [data-selection]: input[data-select-row] in the rows,
// input[data-select-all] in the head, .bulkbar[hidden] with [data-count] for the number. A button
// [data-select-matching] sets input[name=all_matching] to 1: "all 1,284 that match", not only
// those in sight. [data-select-none] clears. Shift selects from the last one ticked.
//
// A row with a .row-link is that link wherever nothing else is to be clicked. The link covers only
// its own cell, so that the text of a row can be selected.
(() => {
  const OTHER = "a, button, input, select, textarea, label, summary, details, [contenteditable='true']";
  const linkOf = (event) => {
    if (event.target.closest?.(OTHER)) return null;
    return event.target.closest?.("tr, li")?.querySelector(".row-link");
  };
  document.addEventListener("click", (event) => {
    const link = linkOf(event);
    if (!link || event.defaultPrevented || !getSelection().isCollapsed) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) window.open(link.href, "_blank", "noopener");
    else link.click();
  });
  document.addEventListener("auxclick", (event) => {
    const link = event.button === 1 ? linkOf(event) : null;
    if (link) window.open(link.href, "_blank", "noopener");
  });
})();
(() => {
  let last = null;
  const boxes = (area) => [...area.querySelectorAll("[data-select-row]")];

  const show = (area) => {
    const all = boxes(area);
    const ticked = all.filter((box) => box.checked).length;
    const head = area.querySelector("[data-select-all]");
    if (head) {
      head.checked = ticked > 0 && ticked === all.length;
      head.indeterminate = ticked > 0 && ticked < all.length;
    }
    const bar = area.querySelector(".bulkbar");
    if (!bar) return;
    bar.hidden = ticked === 0;
    const matching = area.querySelector("input[name=all_matching]");
    const everything = matching?.value === "1";
    const count = bar.querySelector("[data-count]");
    if (count) count.textContent = everything ? bar.dataset.matching : ticked.toLocaleString("en");
    const offer = bar.querySelector("[data-select-matching]");
    if (offer) offer.hidden = everything || !head?.checked;
  };

  const setMatching = (area, value) => {
    const field = area.querySelector("input[name=all_matching]");
    if (field) field.value = value;
  };

  document.addEventListener("click", (event) => {
    const area = event.target.closest?.("[data-selection]");
    if (!area) return;
    if (event.target.matches("[data-select-row]")) {
      const all = boxes(area);
      if (event.shiftKey && last && all.includes(last)) {
        const [from, to] = [all.indexOf(last), all.indexOf(event.target)].sort((a, b) => a - b);
        for (const box of all.slice(from, to + 1)) box.checked = event.target.checked;
      }
      last = event.target;
      setMatching(area, "");
    } else if (event.target.matches("[data-select-all]")) {
      for (const box of boxes(area)) box.checked = event.target.checked;
      setMatching(area, "");
    } else if (event.target.closest("[data-select-matching]")) {
      setMatching(area, "1");
    } else if (event.target.closest("[data-select-none]")) {
      for (const box of boxes(area)) box.checked = false;
      setMatching(area, "");
    } else return;
    show(area);
  });

  // A filter is applied once it has a field; "was" names the one that the row is drawn for.
  const needs = () => {
    for (const button of document.querySelectorAll("[data-needs-field]")) button.disabled = !button.form.querySelector("[name^='row-'][name$='-was']")?.value;
  };
  document.addEventListener("DOMContentLoaded", needs);
  document.addEventListener("htmx:afterSettle", needs);

  const refresh = () => { for (const area of document.querySelectorAll("[data-selection]")) show(area); };
  document.addEventListener("htmx:afterSettle", refresh);
  // The browser restores ticks on Back after the page has loaded.
  addEventListener("pageshow", refresh);
})();
// A filter row redraws when its operator changes. What was typed into it since then moves to the
// new row; htmx moves the focus, by id.
(() => {
  let old = null;
  const fieldOf = (row) => row.querySelector("[name$='-was']")?.value;
  document.addEventListener("htmx:beforeSwap", (event) => {
    old = event.detail.target.matches?.(".filter-row") ? event.detail.target : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    const row = old && document.getElementById(old.id);
    if (row && row !== old && fieldOf(row) === fieldOf(old)) {
      for (const typed of old.querySelectorAll(".values input[id]")) {
        const input = document.getElementById(typed.id);
        if (!typed.value || input?.type !== typed.type || input.value === typed.value) continue;
        input.value = typed.value;
        input.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }
    old = null;
  });
})();
