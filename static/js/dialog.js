// One <dialog id="dialog">. What htmx swaps into it opens it; "dialog:close" (HX-Trigger),
// [data-close], Escape and a click beside it close it. The focus goes back to what opened it; where
// a swap has replaced that, to the element with its id; from a menu, to the menu's button.
(() => {
  const dialog = document.getElementById("dialog");
  if (!dialog) return;
  let opener = null;

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target !== dialog) return;
    // Never outerHTML, which a link inherits from an area around it that swaps itself.
    event.detail.swapOverride = "innerHTML";
    if (!dialog.open) opener = event.detail.requestConfig?.elt ?? null;
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target !== dialog || !dialog.firstElementChild) return;
    const first = !dialog.open;
    if (first) dialog.showModal();
    const lost = !dialog.contains(document.activeElement) || document.activeElement === dialog;
    const wanted = wrong(dialog) ?? (first || lost ? dialog.querySelector(".dialog-body [autofocus]") ?? dialog.querySelector("h2") : null);
    wanted?.focus();
    reachable(dialog.querySelector(".dialog-body"));
  });

  // The first field that was refused, else the sentence that says why.
  const wrong = (area) => {
    const field = area.querySelector('[aria-invalid="true"]');
    if (field) return field.matches("input, select, textarea") ? field : field.querySelector("input, select, textarea") ?? field;
    const words = area.querySelector('[role="alert"]');
    if (words) words.tabIndex = -1;
    return words;
  };
  // A form that was opened as a page is answered as a page.
  document.addEventListener("DOMContentLoaded", () => { const area = document.querySelector(".dialog-page"); if (area) wrong(area)?.focus(); });

  // What has to be scrolled and holds nothing to tab to becomes a stop of the Tab key itself.
  const reachable = (body) => {
    if (body && body.scrollHeight > body.clientHeight && !body.querySelector("a[href], button, input, select, textarea, summary, [tabindex]")) body.tabIndex = 0;
  };

  document.addEventListener("dialog:close", () => dialog.close());

  document.addEventListener("click", (event) => {
    const closer = event.target.closest?.("[data-close]");
    if (!closer || !closer.closest("dialog")) return;
    event.preventDefault();
    closer.closest("dialog").close();
  });

  // Pressed and released on the backdrop: a selection of text that ends outside does not count.
  let pressedOutside = false;
  const outside = (event) => {
    const box = event.target.getBoundingClientRect();
    return event.target.matches("dialog") && (event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom);
  };
  document.addEventListener("pointerdown", (event) => { pressedOutside = outside(event); });
  document.addEventListener("click", (event) => { if (pressedOutside && outside(event)) event.target.close(); });

  dialog.addEventListener("close", () => {
    dialog.replaceChildren();
    const back = opener?.isConnected ? opener : opener?.id ? document.getElementById(opener.id) : null;
    opener = null;
    if (back) (back.closest("details.menu:not([open])")?.querySelector("summary") ?? back).focus();
  });
})();
