// Sheets of codes: print, by the button, and at once where that is what they were asked for.
(() => {
  "use strict";
  const button = document.querySelector("[data-do=print]");
  button?.addEventListener("click", () => print());
  if (button && parent !== window) button.hidden = true; // beside a preview stands one already
  if ("print" in document.documentElement.dataset) addEventListener("load", () => print());
})();
