// An instrument's questions: adds cards and options, and hides what a kind has no use for. Without it the page is whole, only longer.
(() => {
  "use strict";
  const form = document.querySelector(".cx-questions");
  if (!form) return;
  const cards = form.querySelector("[data-questions]");
  const total = form.querySelector("[name=q-TOTAL_FORMS]");

  const suit = (card) => {
    const kind = card.querySelector("[data-kind]").value;
    card.querySelectorAll("[data-for]").forEach((part) => { part.hidden = !part.dataset.for.split(" ").includes(kind); });
    // What a contact permission asks where nothing is typed shows in its fields.
    card.querySelectorAll("[data-standard]").forEach((text) => { text.placeholder = kind === "contact" ? text.dataset.standard : ""; });
    // Eleven stars fit on no phone: a long scale is drawn as numbers.
    const display = card.querySelector("[data-display]");
    const scale = card.querySelector("[data-points]");
    if (!display || kind !== "scale") return;
    const points = Number(scale.value.split(":")[1] || scale.dataset.points);
    display.hidden = points > 7;
    if (display.hidden) display.querySelector("select").value = "numbers";
  };

  const dress = (card) => {
    suit(card);
    card.querySelector("[data-add-option]").hidden = false;
  };

  const addOption = (card) => {
    const list = card.querySelector("[data-options]");
    const rows = list.querySelectorAll(".cx-option");
    const name = list.dataset.options;
    const copy = rows[rows.length - 1].cloneNode(true);
    copy.querySelectorAll("input").forEach((input) => {
      input.name = input.name.replace(`${name}__${rows.length - 1}__`, `${name}__${rows.length}__`);
      input.removeAttribute("id");
      if (input.type !== "number") input.value = input.type === "hidden" ? "{}" : "";
      else input.value = rows.length + 1;
    });
    copy.querySelectorAll("label").forEach((label) => label.removeAttribute("for"));
    list.append(copy);
    copy.querySelector("input[type=text]").focus();
  };

  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-kind], [data-points]")) suit(event.target.closest("[data-question]"));
  });
  form.addEventListener("click", (event) => {
    if (event.target.matches("[data-add-option]")) addOption(event.target.closest("[data-question]"));
    if (!event.target.matches("[data-add-question]")) return;
    const unused = cards.querySelector("details.cx-new:not([open])");
    if (unused) {
      unused.open = true;
      unused.querySelector("input[type=text]").focus();
      return;
    }
    const holder = document.createElement("div");
    holder.innerHTML = form.querySelector("[data-empty]").innerHTML.replaceAll("__prefix__", total.value);
    const card = holder.firstElementChild;
    total.value = Number(total.value) + 1;
    cards.append(card);
    dress(card);
    card.querySelector("input[type=text]").focus();
  });
  form.querySelector("[data-add-question]").hidden = false;
  cards.querySelectorAll("[data-question]").forEach(dress);
})();
