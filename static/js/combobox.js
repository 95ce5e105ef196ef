// select[data-combobox]: a field to type into over the select's own options, which keep their
// groups. The select stays as what is submitted and what htmx listens to; without script it is all
// there is. Follows the ARIA pattern of a combobox with a list: the focus stays in the field.
(() => {
  let chosen = ""; // the select whose row is redrawn: its successor gets the focus

  const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
  const element = (name, attributes, text = "") => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };

  // One option of the list for one of the select, in groups as there.
  const drawn = (select, list) => {
    const options = [];
    const draw = (option, parent, group) => {
      if (!option.value) return;
      const item = element("div", { role: "option", id: `${select.id}-option-${options.length}`, dir: "auto" }, option.label);
      item.dataset.value = option.value;
      item.dataset.words = `${option.label} ${option.value} ${group}`.toLowerCase();
      parent.append(item);
      options.push(item);
    };
    for (const child of select.children) {
      if (child.tagName !== "OPTGROUP") { draw(child, list, ""); continue; }
      const title = element("div", { id: `${select.id}-group-${list.children.length}`, class: "menu-title", role: "presentation", dir: "auto" }, child.label);
      const group = element("div", { role: "group", "aria-labelledby": title.id });
      group.append(title);
      for (const option of child.children) draw(option, group, child.label);
      list.append(group);
    }
    return options;
  };

  const enhance = (select) => {
    const label = select.getAttribute("aria-label");
    const list = element("div", { role: "listbox", id: `${select.id}-list`, "aria-label": "Choices", class: "combobox-list" });
    const input = element("input", {
      type: "text", role: "combobox", "aria-label": label, "aria-autocomplete": "list", "aria-expanded": "false",
      "aria-controls": list.id, autocomplete: "off", spellcheck: "false", placeholder: select.options[0].label,
    });
    const none = element("p", { class: "muted", role: "status" });
    const options = drawn(select, list);
    const parts = [...list.children]; // in the page only while the list is open
    const box = element("div", { class: "combobox" });
    let at = -1;

    const shown = () => options.filter((option) => !option.hidden);
    const isOpen = () => !list.hidden;
    const mark = (option) => {
      options[at]?.removeAttribute("aria-selected");
      at = options.indexOf(option);
      if (at < 0) { input.removeAttribute("aria-activedescendant"); return; }
      option.setAttribute("aria-selected", "true");
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    };
    const close = () => {
      list.hidden = true;
      list.replaceChildren();
      none.textContent = "";
      input.setAttribute("aria-expanded", "false");
      input.value = select.value ? select.selectedOptions[0].label : "";
      mark(null);
    };
    const filter = (text) => {
      const wanted = words(text);
      if (list.hidden) list.replaceChildren(...parts);
      for (const option of options) option.hidden = !wanted.every((word) => option.dataset.words.includes(word));
      for (const group of list.querySelectorAll("[role=group]")) group.hidden = !group.querySelector("[role=option]:not([hidden])");
      list.hidden = !shown().length;
      none.textContent = shown().length ? "" : "No field matches.";
      input.setAttribute("aria-expanded", String(isOpen()));
    };
    const open = () => {
      filter("");
      mark(options.find((option) => option.dataset.value === select.value) ?? null);
    };
    const choose = (option) => {
      if (!option) return;
      const changes = select.value !== option.dataset.value;
      select.value = option.dataset.value;
      close();
      if (!changes) return;
      chosen = select.id;
      select.dispatchEvent(new Event("change", { bubbles: true }));
    };
    const step = (by) => {
      const all = shown();
      if (!all.length) return;
      const now = all.indexOf(options[at]);
      mark(all[now < 0 ? (by > 0 ? 0 : all.length - 1) : (now + by + all.length) % all.length]);
    };
    const KEYS = {
      ArrowDown: () => (isOpen() ? step(1) : open()),
      ArrowUp: () => (isOpen() ? step(-1) : open()),
      Enter: () => (isOpen() ? choose(options[at] ?? shown()[0]) : open()),
      Escape: close,
    };

    input.addEventListener("keydown", (event) => {
      const closed = !isOpen() && !none.textContent;
      if (!KEYS[event.key] || event.isComposing || (closed && event.key === "Escape")) return;
      event.preventDefault();
      event.stopPropagation();
      KEYS[event.key]();
    });
    // What is typed here is no answer of the form around it.
    for (const name of ["input", "change"]) input.addEventListener(name, (event) => event.stopPropagation());
    input.addEventListener("input", () => { filter(input.value); mark(input.value.trim() ? shown()[0] : null); });
    input.addEventListener("click", () => { if (!isOpen()) open(); });
    input.addEventListener("focus", () => input.select());
    input.addEventListener("blur", close);
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // the focus stays
    // Nobody else hears the click: its option is gone by then, which looks like a click elsewhere.
    list.addEventListener("click", (event) => { event.stopPropagation(); choose(event.target.closest("[role=option]")); });

    select.hidden = true;
    select.removeAttribute("aria-label");
    box.append(input, list, none);
    select.before(box);
    close();
    if (chosen === select.id) { chosen = ""; input.focus(); }
  };

  const enhanceAll = (root) => { for (const select of root.querySelectorAll("select[data-combobox]:not([hidden])")) enhance(select); };
  document.addEventListener("htmx:load", (event) => enhanceAll(event.target.parentElement ?? document));
  document.addEventListener("DOMContentLoaded", () => enhanceAll(document));
})();
