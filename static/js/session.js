// A session or a token that ended while a page was open. The server says so by X-Session and does
// nothing. "ended": a dialog over the page asks for the password, then the request is sent again.
// "stale" (signed in again in another tab): the new token is taken and the request sent again.
(() => {
  const dialog = document.getElementById("sign-in");
  if (!dialog) return;
  const PAUSE = 10000;
  let waiting = null;
  let said = 0;

  const say = (text) => document.dispatchEvent(new CustomEvent("toast", { detail: { text, kind: "warn", topic: "session" } }));
  const sayOnce = (text) => { if (Date.now() - said > PAUSE) say(text); said = Date.now(); };

  const take = (token) => {
    document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRFToken": token }));
    for (const field of document.querySelectorAll("input[name=csrfmiddlewaretoken]")) field.value = token;
  };

  const again = ({ elt, verb, path, target, triggeringEvent }) => {
    if (!elt.isConnected) return;
    if (elt.matches("form") && triggeringEvent?.type === "submit") {
      const by = triggeringEvent.submitter;
      elt.requestSubmit(by?.isConnected ? by : undefined);
    } else if (triggeringEvent?.type === "click") elt.click();
    else window.htmx.ajax(verb, path, { source: elt, target });
  };

  document.addEventListener("htmx:beforeOnLoad", (event) => {
    const { xhr, requestConfig } = event.detail;
    const state = xhr.getResponseHeader("X-Session");
    if (!state) return;
    event.preventDefault();
    if (state === "stale") {
      take(xhr.getResponseHeader("X-New-CSRF-Token"));
      const { elt } = requestConfig;
      const twice = Date.now() - (elt.sentAgain ?? 0) < PAUSE;
      elt.sentAgain = Date.now();
      if (twice) sayOnce(xhr.responseText); else setTimeout(() => again(requestConfig), 0);
      return;
    }
    // Only who pressed something is asked: a dialog must not open under somebody who types.
    if (!["submit", "click"].includes(requestConfig.triggeringEvent?.type)) {
      if (!waiting) sayOnce("You were signed out because your session ended. What you typed is still here: save to sign in and continue.");
      return;
    }
    waiting = requestConfig;
    window.htmx.ajax("GET", dialog.dataset.url, { target: dialog, swap: "innerHTML" });
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target !== dialog || !dialog.firstElementChild) return;
    if (!dialog.open) dialog.showModal();
    // The dialog says the same as the toast of a poll that came first.
    for (const toast of document.querySelectorAll('.toast[data-topic="session"]')) toast.remove();
    const name = dialog.querySelector("[name=username]");
    if (!name.value) name.value = dialog.dataset.user;
    (name.value ? dialog.querySelector("[name=password]") : name).focus();
  });

  document.addEventListener("session:begun", (event) => {
    const { token, username } = event.detail;
    const request = waiting;
    take(token);
    if (dialog.open) dialog.close();
    if (username !== dialog.dataset.user) {
      dialog.dataset.user = username;
      say(`You are signed in as ${username} now. Save again to continue as ${username}.`);
    } else if (request) setTimeout(() => again(request), 0);
  });

  dialog.addEventListener("close", () => { dialog.replaceChildren(); waiting = null; });
})();
