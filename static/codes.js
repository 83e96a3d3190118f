// Codes to print: the preview follows the choice. Without this script its button shows the same.
(() => {
  "use strict";
  const form = document.querySelector("form[data-codes]");
  if (!form) return;
  const preview = form.querySelector('button[value="preview"]');
  preview.hidden = true;
  let waiting = 0;
  const show = () => form.requestSubmit(preview);
  form.addEventListener("change", show);
  form.addEventListener("input", (event) => {
    if (event.target.tagName !== "TEXTAREA") return;
    clearTimeout(waiting);
    waiting = setTimeout(show, 600);
  });
  show();
})();
