// Keeps the live parts of a page up to date while it is looked at. All of it works without this file.
"use strict";
(() => {
  const EVERY = 3000;
  const body = document.body;
  const note = document.getElementById("connection");
  let silent = 0;

  const say = (text) => {
    if (note && note.textContent !== text) { note.textContent = text; }
    if (note) { note.hidden = !text; }
  };

  // Marks all tasks of a page at once; shown only where it works. The list is put in anew now and then.
  const marker = () => {
    const all = document.getElementById("mark-all");
    if (all) { all.closest("label").hidden = false; }
  };
  body.addEventListener("change", (event) => {
    if (event.target.id !== "mark-all") { return; }
    document.querySelectorAll(".tasks input[name=id]").forEach((one) => { one.checked = event.target.checked; });
  });
  marker();
  body.addEventListener("htmx:after:swap", marker);

  // One rhythm for all live parts; none while nobody looks, or while something in them is being written or marked.
  const busy = () => {
    const at = document.activeElement;
    const writes = at && at.closest(".live") && at.matches("input, textarea, select");
    const marked = document.getSelection();
    const marks = marked && !marked.isCollapsed && marked.anchorNode && marked.anchorNode.parentElement
      && marked.anchorNode.parentElement.closest(".live");
    // What is marked in a list would be lost.
    return writes || marks || document.querySelector(".live input:checked");
  };
  const tick = () => {
    if (document.visibilityState === "visible" && !busy()) {
      document.querySelectorAll(".live").forEach((part) => part.dispatchEvent(new CustomEvent("tick")));
    }
  };
  setInterval(tick, EVERY);
  document.addEventListener("visibilitychange", tick);

  body.addEventListener("htmx:after:request", (event) => {
    const answer = event.detail && event.detail.ctx && event.detail.ctx.response;
    if (!answer) { return; }
    if (answer.status === 401) { location.reload(); return; }
    silent = answer.status >= 500 ? silent + 1 : 0;
    say(silent > 1 ? "The service cannot reach its database now: what you see is from before." : "");
  });
  body.addEventListener("htmx:error", () => {
    silent += 1;
    if (silent > 1) { say("The service does not answer: what you see is from before."); }
  });
})();
