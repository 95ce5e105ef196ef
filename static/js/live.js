// Pages that stay open. [data-live] marks what polls: it rests while the page is hidden, a menu
// in it is open or somebody types in it. Relative times are kept true (as apps/core/display.py).
(() => {
  document.addEventListener("htmx:beforeRequest", (event) => {
    const area = event.detail.elt;
    // Only polls rest: what asks once, on load, would never ask again.
    if (!area.matches?.('[data-live][hx-trigger*="every"]') || event.detail.requestConfig.triggeringEvent) return;
    const busy = area.querySelector("details.menu[open]") || (area.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"));
    if (document.hidden || busy) event.preventDefault();
  });

  const UNITS = [[60, 1, "s"], [3600, 60, "m"], [86400, 3600, "h"], [604800, 86400, "d"]];
  const words = (then) => {
    const seconds = (Date.now() - then) / 1000;
    const size = Math.abs(seconds);
    if (size < 10) return "just now";
    const unit = UNITS.find(([limit]) => size < limit);
    if (!unit) return null; // a date: it stays
    const text = `${Math.floor(size / unit[1])}${unit[2]}`;
    return seconds > 0 ? `${text} ago` : `in ${text}`;
  };
  setInterval(() => {
    if (document.hidden) return;
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const text = words(Date.parse(time.dateTime));
      if (text && text !== time.textContent) time.textContent = text;
    }
  }, 20000);
})();
