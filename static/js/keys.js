// Keys. Pages opt in: data-key="r" or data-key="g c" on a link, button or field, and
// data-keys-rows on the element whose .row-link are walked with j and k. A link with rel=prev or
// rel=next answers to [ and ]. Nothing happens while somebody types. The dialog behind ? lists
// what this page has and switches single keys off (WCAG 2.1.4), remembered per browser.
(() => {
  const WAIT = 1200;
  let first = "";
  let timer = 0;

  const off = () => { try { return localStorage.getItem("keys") === "off"; } catch { return false; } };
  const typing = (element) => element.matches?.("input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select, [contenteditable='true']");
  const scope = () => document.querySelector("dialog[open]") ?? document;
  const visible = (element) => element && element.checkVisibility() ? element : null;
  const find = (keys) => visible(scope().querySelector(`[data-key="${CSS.escape(keys)}"]`));

  const use = (element) => {
    if (element.matches("summary")) {
      element.parentElement.open = true;
      (element.parentElement.querySelector(".menu-pop form :is(input:not([type=hidden]), select):not([hidden])") ?? element).focus();
      return;
    }
    if (typing(element)) { element.focus(); element.select?.(); return; }
    element.click();
  };

  const walk = (step) => {
    const links = [...document.querySelectorAll("[data-keys-rows] .row-link")];
    if (!links.length) return false;
    const row = document.activeElement?.closest("[data-keys-rows] tr, [data-keys-rows] li");
    const at = row ? links.findIndex((link) => row.contains(link)) : -1;
    const next = links[Math.min(links.length - 1, Math.max(0, at + step))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
    return true;
  };

  const tick = () => {
    const box = document.activeElement?.closest("tr")?.querySelector("[data-select-row]");
    if (box) box.click();
    return Boolean(box);
  };

  // Walking through a list leaves one entry in the history, so that Back leads out of it.
  const go = (rel) => {
    const link = document.querySelector(`a[rel~="${rel}"]`);
    if (link?.hasAttribute("hx-get")) {
      link.setAttribute("hx-push-url", "false");
      link.setAttribute("hx-replace-url", "true");
      link.click();
    } else if (link) location.replace(link.href);
    return Boolean(link);
  };

  // Escape leaves a search that "/" led to. One that searches while one types is cleared as well,
  // by the browser itself.
  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (event.key !== "Escape" || event.isComposing || !field.matches?.("input[type=search][data-key]")) return;
    if (!field.form?.getAttribute("hx-trigger")?.includes("input")) event.preventDefault();
    field.blur();
  });

  const ROWS = { j: () => walk(1), k: () => walk(-1), x: tick, "[": () => go("prev"), "]": () => go("next") };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented || typing(event.target)) return;
    if (event.key === "?") { event.preventDefault(); help(); return; }
    if (off() || event.key.length !== 1) return;
    const keys = first ? `${first} ${event.key}` : event.key;
    clearTimeout(timer);
    first = "";
    const element = find(keys);
    if (element) { event.preventDefault(); use(element); return; }
    if (!document.querySelector("dialog[open]") && ROWS[keys]?.()) { event.preventDefault(); return; }
    if (document.querySelector(`[data-key^="${CSS.escape(event.key)} "]`)) {
      first = event.key;
      timer = setTimeout(() => { first = ""; }, WAIT);
    }
  });

  const line = (keys, label) => {
    const row = document.createElement("div");
    const term = document.createElement("dt");
    const meaning = document.createElement("dd");
    keys.split(" ").forEach((key, index) => {
      if (index) term.append(" ");
      const cap = document.createElement("kbd");
      cap.textContent = key;
      term.append(cap);
    });
    meaning.textContent = label;
    row.append(term, meaning);
    return row;
  };

  const help = () => {
    const dialog = document.getElementById("keys");
    if (!dialog || dialog.open || document.querySelector("dialog[open]")) return;
    const rows = [];
    for (const element of document.querySelectorAll("[data-key]")) {
      if (element.checkVisibility()) rows.push(line(element.dataset.key, element.dataset.keyLabel ?? element.getAttribute("aria-label") ?? element.getAttribute("title") ?? element.textContent.trim()));
    }
    if (document.querySelector("[data-keys-rows] .row-link")) rows.push(line("j k", "Next and previous row"), line("Enter", "Open selected row"));
    if (document.querySelector("[data-select-row]")) rows.push(line("x", "Select the row"));
    if (document.querySelector("a[rel~=prev], a[rel~=next]")) rows.push(line("[ ]", "Previous and next"));
    rows.push(line("?", "Show keyboard shortcuts"), line("Esc", "Close dialog or menu"));
    dialog.querySelector("dl").replaceChildren(...rows);
    const toggle = dialog.querySelector("[data-keys-on]");
    toggle.checked = !off();
    toggle.onchange = () => { try { localStorage.setItem("keys", toggle.checked ? "on" : "off"); } catch { /* private mode */ } };
    dialog.showModal();
    dialog.querySelector("h2").focus();
  };
  document.addEventListener("click", (event) => { if (event.target.closest("[data-keys-help]")) help(); });
})();
