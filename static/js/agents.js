// The editors of an agent. A form with [data-draft] saves by Ctrl+S or ⌘S, knows whether it holds
// something unsaved (body[data-unsaved]) and asks before that is left. Without this script the
// form is an ordinary one.
(() => {
  const form = () => document.querySelector("form[data-draft]");
  let typed = 0; // counts what was typed, so that a save answers only for what it had sent
  let sent = 0;

  // ---- Unsaved changes
  // Everything but the stamp. The builder writes its field from script, without any event.
  const snapshot = (area) => {
    const data = new FormData(area);
    for (const name of ["csrfmiddlewaretoken", "base_version", "base", "base_schema", "mode"]) data.delete(name);
    return JSON.stringify([...data]);
  };
  let clean = "";
  let clear = false;
  const look = () => {
    const area = form();
    if (area) document.body.toggleAttribute("data-unsaved", area.hasAttribute("data-dirty") || (clean !== "" && snapshot(area) !== clean));
  };
  const begin = () => { const area = form(); if (area && !area.known) { area.known = true; clean = snapshot(area); } look(); };
  const soon = () => setTimeout(look, 0);
  for (const name of ["input", "change", "click", "keyup"]) {
    document.addEventListener(name, (event) => { if (event.target.closest?.("form[data-draft]")) { if (name === "input") typed += 1; soon(); } });
  }
  window.addEventListener("beforeunload", (event) => { look(); if (!clear && document.body.hasAttribute("data-unsaved")) event.preventDefault(); });
  document.addEventListener("submit", (event) => { if (event.target.matches("form[data-draft]") && !window.htmx) clear = true; });
  document.addEventListener("htmx:beforeRequest", (event) => { if (event.detail.elt.matches("form[data-draft]")) { sent = typed; event.detail.elt.pending = snapshot(event.detail.elt); event.detail.elt.sentData = new FormData(event.detail.elt); } });

  // A whole form as the answer brings a document and its stamp, which belong together. What was
  // typed while it was under way is carried over; where the answer changes the same control, the
  // form stays as it is, stamp and all, and the next save compares the two.
  let carried = null;
  const same = (a, b) => a.length === b.length && a.every((value, index) => value === b[index]);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const area = event.detail.target;
    if (!area.matches?.("form[data-draft]") || event.detail.requestConfig?.elt !== area || sent === typed) return;
    const fresh = new DOMParser().parseFromString(event.detail.serverResponse, "text/html").querySelector("form[data-draft]");
    if (!fresh) return;
    const [then, now, next] = [area.sentData, new FormData(area), new FormData(fresh)];
    const names = [...new Set([...then.keys(), ...now.keys()])].filter((name) => !same(then.getAll(name), now.getAll(name)));
    if (names.every((name) => same(then.getAll(name), next.getAll(name)))) carried = names.map((name) => [name, now.getAll(name)]);
    else {
      event.detail.shouldSwap = false;
      document.dispatchEvent(new CustomEvent("toast", { detail: { text: "Saved. What you typed in the meantime isn’t saved yet: save again.", kind: "warn" } }));
    }
  });
  const carry = () => {
    for (const [name, values] of carried ?? []) {
      for (const control of form().querySelectorAll(`[name="${CSS.escape(name)}"]`)) {
        if (control.matches("[type=checkbox], [type=radio]")) control.checked = values.includes(control.value); else control.value = values[0] ?? "";
      }
    }
    carried = null;
    look();
  };

  document.addEventListener("draft:saved", () => {
    const area = form();
    if (!area) return;
    area.removeAttribute("data-dirty");
    if (area.pending === undefined) return; // a new form, which knows by itself what is clean
    clean = sent === typed ? snapshot(area) : area.pending;
    look();
  });
  document.addEventListener("htmx:afterSettle", (event) => { if (event.detail.target?.matches?.("form[data-draft]") || event.detail.elt?.matches?.("form[data-draft]")) { lines(); dim(); watch(); setTimeout(() => { begin(); carry(); }, 0); mended(); } });
  document.addEventListener("htmx:afterSettle", (event) => { if (event.detail.target?.id === "advice") lines(); });
  // After a fix the focus is where it was made, once the builder has drawn its rows.
  let awaited = null;
  const mended = () => {
    const at = form()?.dataset.mended;
    const line = [...(form()?.querySelectorAll(".goto") ?? [])].find((item) => item.dataset.at === at && item.dataset.line);
    if (!at) return;
    const fault = { dataset: line ? line.dataset : { at } };
    if (document.querySelector("[data-builder]") && !fieldRows().length) awaited = fault; else place(fault);
  };

  // ---- Keys
  document.addEventListener("keydown", (event) => {
    const area = form();
    if (!area || event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (!document.querySelector("dialog[open]")) area.requestSubmit(area.querySelector(".save-bar [type=submit]"));
  });

  // ---- Reset to default, switches
  const dim = () => { for (const box of document.querySelectorAll("[data-enables]")) box.closest(".built-in").classList.toggle("off", !box.checked); };
  document.addEventListener("change", (event) => { if (event.target.matches("[data-enables]")) dim(); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-reset]");
    if (!button) return;
    const area = document.getElementById(button.dataset.reset);
    area.focus();
    area.select();
    // As if typed, so that Undo brings the old words back.
    if (!document.execCommand("insertText", false, area.dataset.default)) area.value = area.dataset.default;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });

  // ---- What is not saved is neither published nor backfilled, though it stands on the screen
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-needs-saved]")) return;
    look();
    if (!document.body.hasAttribute("data-unsaved")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    document.dispatchEvent(new CustomEvent("toast", { detail: { text: "You have unsaved changes. Save the draft first.", kind: "warn" } }));
  }, true);

  // ---- The conflict dialog
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-discard]")) clear = true;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const keep = event.detail.elt;
    if (!keep.matches("[data-keep-mine]") || !event.detail.successful) return;
    keep.closest("dialog").close();
    form().querySelector(".save-bar [type=submit]")?.focus();
  });

  // ---- Faults: the first one gets the focus; a click leads to its place
  const place = (fault) => {
    const area = document.getElementById("schema");
    if (fault.dataset.line && area) {
      const rows = area.value.split("\n");
      const line = Math.min(Number(fault.dataset.line), rows.length);
      const start = rows.slice(0, line - 1).reduce((sum, row) => sum + row.length + 1, 0);
      area.focus();
      area.setSelectionRange(start + Number(fault.dataset.column) - 1, start + rows[line - 1].length);
      const height = parseFloat(getComputedStyle(area).lineHeight);
      window.scrollTo({ top: area.getBoundingClientRect().top + scrollY + (line - 6) * height });
      return;
    }
    const [, index, part] = /^row-(\d+)-(.+)$/.exec(fault.dataset.at ?? "") ?? [];
    const pointed = /^\/properties\/([^/]*)/.exec(fault.dataset.at ?? "");
    const rows = fieldRows();
    const name = pointed && pointed[1].replaceAll("~1", "/").replaceAll("~0", "~");
    const row = rows.find((item, at) => (pointed ? item.querySelector("[name$='§name']")?.value === name : at === Number(index)));
    const field = row?.querySelector(`[name$='§${pointed ? "name" : part}']`);
    field?.focus();
    field?.scrollIntoView({ block: "center" });
  };
  document.addEventListener("click", (event) => { const fault = event.target.closest("button:is(.fault, .goto):is([data-line], [data-at])"); if (fault) place(fault); });

  // ---- Advice: a link leads to its control; a built-in is switched off as if by hand
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.goto[href^='#']");
    if (link) { event.preventDefault(); const control = document.getElementById(link.hash.slice(1)); control?.focus(); control?.scrollIntoView({ block: "center" }); return; }
    const off = event.target.closest("[data-switch-off]");
    const box = off && document.getElementById(off.dataset.switchOff);
    if (box?.checked) { box.focus(); box.click(); }
  });
  document.addEventListener("draft:refused", () => {
    lines();
    const slot = [...document.querySelectorAll("form[data-draft] .faults")].find((item) => item.firstElementChild);
    if (!slot) return;
    const control = document.querySelector(`[aria-describedby~="${slot.id}"]`);
    if (control && control.id !== "schema") control.focus(); else slot.querySelector("button")?.focus();
    slot.scrollIntoView({ block: "center" });
  });

  // ---- The builder: names for what it leaves nameless, and the focus that goes with the field
  // All that is known here of the markup that django-jsonform draws, beside names with a "§".
  const DRAWN = {
    field: ".rjf-form-group-inner", parts: ".rjf-form-group-children", add: ".rjf-add-button",
    remove: ".rjf-remove-button", up: ".rjf-move-up-button", down: ".rjf-move-down-button",
  };
  const fieldRows = () => [...document.querySelectorAll(`[data-builder] ${DRAWN.field}`)].map((inner) => inner.parentElement.parentElement);
  const describe = (row) => {
    const group = row.querySelector(`${DRAWN.field} > ${DRAWN.parts}`);
    if (!group) return;
    for (const part of group.children) {
      const field = part.querySelector("input, select, textarea");
      if (!field) continue;
      part.dataset.part = field.name.split("§").at(-1);
      if (field.type !== "checkbox") field.setAttribute("aria-label", part.querySelector("label").textContent);
      if (part.dataset.part === "kind") group.dataset.kind = field.value;
      if (part.dataset.part === "required") group.toggleAttribute("data-required", field.checked);
    }
    const name = row.querySelector("[name$='§name']")?.value || "new field";
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", name);
    for (const button of row.firstElementChild.children) button.setAttribute("aria-label", `${button.title} ${name}`);
  };
  const label = () => {
    const rows = fieldRows();
    rows.forEach(describe);
    document.querySelector("[data-builder]")?.toggleAttribute("data-empty", rows.length === 0);
    document.querySelector(`[data-builder] ${DRAWN.add}`)?.setAttribute("aria-label", "Add field");
  };
  document.addEventListener("change", (event) => { const row = event.target.closest("[data-builder] [role=group]"); if (row) describe(row); });
  let watched = null;
  const watch = () => {
    const builder = document.querySelector("[data-builder]");
    if (!builder || builder === watched) return;
    watched = builder;
    new MutationObserver(() => {
      label();
      listen();
      soon();
      if (awaited && fieldRows().length) { const fault = awaited; awaited = null; place(fault); }
      if (form()?.known) builder.dispatchEvent(new CustomEvent("fields:changed", { bubbles: true }));
    }).observe(builder, { childList: true, subtree: true });
    label();
    listen();
  };
  // The focus follows the field that a button added, removed or moved. django-jsonform tells when
  // the change is drawn; a button that changed nothing is forgotten as soon as somebody types.
  let pressed = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-builder] button");
    const action = button && ["add", "remove", "up", "down"].find((name) => button.matches(DRAWN[name]));
    if (!action) return;
    const rows = fieldRows();
    pressed = { action, at: rows.findIndex((row) => row.contains(button)), count: rows.length };
  }, true); // before django-jsonform changes the rows
  document.addEventListener("input", (event) => { if (event.target.closest("[data-builder]")) pressed = null; });
  const follow = ({ action, at, count }) => {
    const rows = fieldRows();
    if (Math.sign(rows.length - count) !== { add: 1, remove: -1, up: 0, down: 0 }[action]) return;
    const nameOf = (row) => row?.querySelector("[name$='§name']");
    if (action === "add") nameOf(rows.at(-1))?.focus();
    else if (action === "remove") (nameOf(rows[Math.min(at, rows.length - 1)]) ?? document.querySelector(DRAWN.add))?.focus();
    else {
      const moved = rows[at + (action === "down" ? 1 : -1)];
      (moved?.querySelector(DRAWN[action]) ?? moved?.querySelector("button"))?.focus();
      moved?.scrollIntoView({ block: "nearest" });
    }
  };
  let heard = null;
  const listen = () => {
    const container = document.querySelector("[data-builder] [data-django-jsonform-container]");
    const drawn = container && window.reactJsonForm?.getFormInstance(container.id);
    if (!drawn || drawn === heard) return;
    heard = drawn;
    drawn.addEventListener("change", () => requestAnimationFrame(() => {
      label();
      look();
      const done = pressed;
      pressed = null;
      if (done) follow(done);
    }));
  };

  // ---- Line numbers of the JSON editor, those of faults marked
  const lines = () => {
    const area = document.getElementById("schema");
    const gutter = document.querySelector(".json-lines");
    if (!area || !gutter) return;
    const bad = new Set([...document.querySelectorAll(".fault[data-line]")].map((fault) => Number(fault.dataset.line)));
    const count = area.value.split("\n").length;
    gutter.replaceChildren(...Array.from({ length: count }, (_, index) => {
      const line = document.createElement("span");
      line.textContent = index + 1;
      if (bad.has(index + 1)) line.className = "bad";
      return line;
    }));
    area.rows = Math.max(24, count + 1);
  };
  document.addEventListener("input", (event) => { if (event.target.id === "schema") lines(); });

  document.addEventListener("DOMContentLoaded", () => { dim(); lines(); watch(); setTimeout(begin, 0); });
})();
