// The field builder (django-jsonform) writes labels that belong to no control, and buttons that all
// say "Remove". Each gets its name here, again after every change that the package draws.
(() => {
  const root = document.querySelector("[data-django-jsonform-container]");
  if (!root) return;
  const NAMED = ".rjf-form-row-inner label + .rjf-input-group :is(input, select, textarea)";

  const set = (element, label) => {
    if (element && element.getAttribute("aria-label") !== label) element.setAttribute("aria-label", label);
  };

  const name = () => {
    for (const group of root.querySelectorAll(".rjf-form-group-wrapper .rjf-form-group-wrapper")) {
      const field = group.querySelector("[name$='§name']")?.value || "new field";
      for (const control of group.querySelectorAll(NAMED)) {
        const label = control.closest(".rjf-form-row-inner").querySelector("label").textContent.trim();
        set(control, `${label} of ${field}`);
      }
      for (const button of group.querySelectorAll(":scope > .rjf-form-row-controls > button")) set(button, `${button.title} ${field}`);
    }
  };

  new MutationObserver(name).observe(root, { childList: true, subtree: true });
  root.addEventListener("input", name);
  name();
})();
