// Recordings. A player that can't load its address asks the server why (data-recording): what comes
// back is a player with a fresh address, or the reason and where else to listen.
(() => {
  document.addEventListener("error", (event) => {
    const player = event.target;
    if (!player.matches?.("audio")) return;
    const area = player.closest(".recording");
    const why = player.dataset.recording;
    if (area && why) htmx.ajax("GET", why, { target: area, swap: "innerHTML" });
    else area?.querySelector("[data-recording-fault]")?.removeAttribute("hidden");
  }, true); // an error of a player does not bubble
})();
