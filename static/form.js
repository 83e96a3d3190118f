// Reveals follow-up questions by the answers given, and keeps "Send" from being pressed twice. The form is whole without it.
(() => {
  "use strict";
  const form = document.querySelector("form");
  if (!form) return;
  const followUps = [...form.querySelectorAll("[data-show-if]")];

  const answers = (key) => new FormData(form).getAll(key).map(String);

  // "score:1,2,3;reason:late" – every named question must have one of its values, and be shown itself.
  const applies = (rule) => rule.split(";").every((part) => {
    const at = part.indexOf(":");
    const key = part.slice(0, at);
    const source = form.querySelector(`[data-key="${CSS.escape(key)}"]`);
    return source && !source.hidden && answers(key).some((value) => part.slice(at + 1).split(",").includes(value));
  });

  const reveal = () => followUps.forEach((question) => { question.hidden = !applies(question.dataset.showIf); });

  form.addEventListener("change", reveal);
  form.addEventListener("submit", () => {
    const button = form.querySelector(".send");
    setTimeout(() => { button.disabled = true; });
  });
  addEventListener("pageshow", () => { form.querySelector(".send").disabled = false; reveal(); });
  document.getElementById("summary")?.focus();
  reveal();
})();
