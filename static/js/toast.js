// HX-Trigger "toast": {text, kind: ok|info|warn|bad, href, action, undo, topic}. Also what htmx cannot swap:
// a refusal or a broken connection is said, never swallowed. Text only, no markup from anywhere.
(() => {
  const list = document.getElementById("toasts");
  if (!list) return;
  const CALM = 6000;

  const leave = (toast) => {
    if (toast.classList.contains("keeps")) return;
    let timer = setTimeout(() => toast.remove(), CALM);
    const hold = () => clearTimeout(timer);
    const go = () => { clearTimeout(timer); timer = setTimeout(() => toast.remove(), CALM); };
    toast.addEventListener("pointerenter", hold);
    toast.addEventListener("focusin", hold);
    toast.addEventListener("pointerleave", go);
    toast.addEventListener("focusout", go);
  };

  const say = ({ text, kind = "info", href = "", action = "", undo = "", topic = "" }) => {
    if (!text) return;
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.dataset.topic = topic;
    // What went wrong, and what can be acted on, stays until it is closed.
    if (kind === "bad" || href) toast.classList.add("keeps");
    const words = document.createElement("span");
    words.className = `dot ${kind}`;
    words.textContent = text;
    toast.append(words);
    if (href && new URL(href, location.href).protocol.startsWith("http")) {
      const link = document.createElement("a");
      link.href = href;
      link.textContent = action || "Open";
      toast.append(link);
    }
    if (undo) {
      const back = document.createElement("button");
      back.type = "button";
      back.className = "link";
      back.textContent = "Undo";
      back.setAttribute("hx-post", undo);
      back.setAttribute("hx-swap", "none");
      toast.append(back);
      htmx.process(back);
      // Not before: the events of the response are fired on the button.
      back.addEventListener("htmx:afterRequest", () => toast.remove());
    }
    const close = document.createElement("button");
    close.type = "button";
    close.setAttribute("aria-label", "Dismiss");
    close.textContent = "×";
    toast.append(close);
    list.append(toast);
    // A modal dialog lies in the top layer, above everything else: the list goes on top of it.
    if (list.showPopover) { if (list.matches(":popover-open")) list.hidePopover(); list.showPopover(); }
    leave(toast);
  };

  list.addEventListener("click", (event) => event.target.closest("button:not([hx-post])")?.closest(".toast").remove());
  for (const toast of list.querySelectorAll(".toast")) leave(toast);

  document.addEventListener("toast", (event) => say(event.detail ?? {}));
  document.addEventListener("htmx:responseError", (event) => {
    const { status, responseText } = event.detail.xhr;
    // Our own refusals come as one sentence of plain text; anything else is not for reading.
    const ours = /^text\/plain/.test(event.detail.xhr.getResponseHeader("Content-Type") ?? "") && responseText.length < 400 && responseText;
    const words = { 403: "You don’t have permission to do this.", 404: "This item no longer exists.", 409: "Someone else changed this first. Reload the page and try again.", 429: "Too many requests. Try again in a moment." };
    say({ text: ours || words[status] || `Something went wrong (error ${status}). Nothing was changed.`, kind: "bad" });
  });
  document.addEventListener("htmx:sendError", (event) => {
    // A poll that misses once says nothing; the next one may arrive.
    if (!event.detail.elt.matches("[data-live]")) say({ text: "Can’t reach the server. Check your connection and try again.", kind: "bad" });
  });
})();
