// The list of answers: all of a page at once. Without it each is chosen by hand.
(() => {
  "use strict";
  const form = document.querySelector("[data-choose]");
  if (!form) return;
  const all = form.querySelector("[data-choose-all]");
  const each = () => [...form.querySelectorAll('input[name="id"]')];
  all.addEventListener("change", () => each().forEach((box) => { box.checked = all.checked; }));
  form.addEventListener("change", () => {
    const chosen = each().filter((box) => box.checked).length;
    all.checked = chosen === each().length;
    all.indeterminate = chosen > 0 && !all.checked;
  });
})();
