// button[data-copy="text"] or button[data-copy-from="#id"]: copies and shows a tick for a moment.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  event.preventDefault();
  const source = button.dataset.copyFrom && document.querySelector(button.dataset.copyFrom);
  const text = source ? source.value ?? source.innerText : button.dataset.copy;
  const label = button.getAttribute("aria-label");
  try {
    await navigator.clipboard.writeText(text);
    button.classList.add("copied");
    button.setAttribute("aria-label", "Copied");
  } catch {
    button.setAttribute("aria-label", "Couldn't copy: your browser blocked clipboard access");
  }
  setTimeout(() => { button.classList.remove("copied"); button.setAttribute("aria-label", label ?? "Copy"); }, 1500);
});
